"""What a checkpoint's own processor configuration says about its input: sample rate; mean, std and size of pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmtransfer import hub
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")

FILE = "preprocessor_config.json"

CONVNEXT_CROPS_BELOW = 384
"""Pixels of a side from which ConvNeXt's processor no longer crops, whatever its `crop_pct`."""


def speech(name: str) -> dict[str, Any]:
    """`sample_rate` and `normalise` of a folder or a hub name; empty where it has no configuration."""
    from transformers import Wav2Vec2FeatureExtractor

    values = _read(name, Wav2Vec2FeatureExtractor.get_feature_extractor_dict) or {}
    names = {"sampling_rate": "sample_rate", "do_normalize": "normalise"}
    return {ours: values[theirs] for theirs, ours in names.items() if theirs in values}


def pictures(name: str) -> dict[str, Any]:
    """`mean` and `std` for pixels in 0..1, `image_size` and `crop_pct` of a folder or a hub name.

    What our transform does in another way is told: it resizes bilinearly, and cuts the middle out of what is no square.
    Raises MMTransferError where there is no configuration, or none of squares of three channels.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    values = _read(name, ImageProcessingMixin.get_image_processor_dict)
    if values is None:
        raise MMTransferError(
            f"No {FILE} beside the weights: it has mean, std and size of the pictures that they were trained on",
            f"--backbone {name}",
            "save it there: AutoImageProcessor.from_pretrained(ORIGIN).save_pretrained(FOLDER)",
        )
    try:
        found = {**_normalisation(values), **_size(values)}
    except (KeyError, TypeError, ValueError) as error:
        what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise MMTransferError(f"{FILE} is of no use here: {what}", f"--backbone {name}", "check the file") from None
    told = _differences(values)
    if told:
        logger.info("%s was trained on pictures %s", name, "; ".join(told))
    return found


def of_pictures(preprocess: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of transformers' processor that makes pictures as ours are: what `pictures` reads."""
    side = preprocess["image_size"]
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": round(side / preprocess["crop_pct"])},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_convert_rgb": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess["mean"]),
        "image_std": list(preprocess["std"]),
    }


def _read(name: str, read: Callable[..., Any]) -> dict[str, Any] | None:
    """A configuration from disk, else from the hub if it answers; None where there is none."""
    try:
        return dict(read(name, local_files_only=True)[0])
    except OSError:
        if Path(name).is_dir() or not hub.reachable():
            return None
    try:
        return dict(read(name)[0])
    except OSError:
        return None


def _normalisation(values: Mapping[str, Any]) -> dict[str, Any]:
    """The processor takes (pixel * factor - mean) / std of pixels in 0..255; ours are in 0..1."""
    scale = 255 * float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 255.0
    mean, std = [0.0] * 3, [1.0] * 3
    if values.get("do_normalize", True):
        mean, std = ([float(number) for number in values[name]] for name in ("image_mean", "image_std"))
    if not len(mean) == len(std) == 3 or not all(map(math.isfinite, [*mean, *std])) or min(std) <= 0:
        raise ValueError(f"image_mean {mean} and image_std {std} are not those of three channels")
    # a factor that is 1/255 but for its last digits leaves the numbers as they are
    scale = 1.0 if math.isclose(scale, 1.0, rel_tol=1e-6) else scale
    return {"mean": tuple(number / scale for number in mean), "std": tuple(number / scale for number in std)}


def _size(values: Mapping[str, Any]) -> dict[str, Any]:
    resized = _side(values["size"])
    if _crops(values):
        side = _side(values["crop_size"])
        return {"image_size": side, "crop_pct": min(1.0, side / resized)}
    share = float(values.get("crop_pct") or 1.0) if resized < CONVNEXT_CROPS_BELOW else 1.0
    if not 0 < share <= 1:
        raise ValueError(f"crop_pct is {share}")
    return {"image_size": resized, "crop_pct": share}


def _crops(values: Mapping[str, Any]) -> bool:
    return values.get("crop_size") is not None and values.get("do_center_crop") is not False


def _side(size: Any) -> int:
    """Pixels of the side of a square, in any of the forms that processors have."""
    sides = {size} if isinstance(size, int) else {size.get("height"), size.get("width")}
    if sides == {None}:
        sides = {size.get("shortest_edge")}
    side = next(iter(sides))
    if len(sides) > 1 or not isinstance(side, int) or side < 1:
        raise ValueError(f"its pictures are no squares of one size: {dict(size)}")
    return side


def _differences(values: Mapping[str, Any]) -> list[str]:
    """What the processor does in another way than our transform."""
    from PIL.Image import Resampling

    told = []
    resample = values.get("resample")
    if resample not in (None, Resampling.BILINEAR):
        told.append(f"resized by {Resampling(resample).name.lower()} interpolation, here it is bilinear")
    if isinstance(values["size"], Mapping) and "height" in values["size"] and not _crops(values):
        told.append("squeezed into squares, here their middle is cut out")
    return told
