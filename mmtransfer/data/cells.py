"""One input as it is given in Python or in a cell of a table -> what the table of examples holds of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmtransfer.data import audio, images
from mmtransfer.data.table import File, Modality

logger = logging.getLogger("mmtransfer")
ARRAY = np.ndarray | torch.Tensor
EMPTY: dict[Modality, Any] = {
    "image": {"path": None, "bytes": None},
    "text": "",
    "speech": {"path": None, "bytes": None},
}
"""What stands for an input that cannot be one."""
_DECODED = ("array", "sampling_rate")
"""What `datasets` calls the samples of a decoded recording and their rate."""


def read(value: Any, modality: Modality, base: Path, rate: int) -> str | File:
    """An input as its table holds it; ValueError says why it cannot be one.

    `base`: the folder to which file names are relative; `rate`: samples a second of arrays that come without theirs.
    """
    if modality == "text":
        if value is None or isinstance(value, str):
            return value or ""
        raise ValueError(f"a text must be a str, not a {type(value).__name__}")
    if isinstance(value, str | Path):
        if not str(value).strip():
            raise ValueError("the file name is empty")
        return {"path": os.path.abspath(base / value), "bytes": None}
    if isinstance(value, bytes):
        return {"path": None, "bytes": value}
    if isinstance(value, dict):
        return _embedded(value, modality, base)
    if modality == "speech" and isinstance(value, list | tuple) and len(value) == 2:
        return audio.from_rated(*value)
    if modality == "speech" and isinstance(value, ARRAY):
        return audio.from_rated(value, rate)
    if isinstance(value, Image.Image) and modality == "image":
        return images.from_pil(value)
    if isinstance(value, torch.Tensor):
        value = (value.float() if value.is_floating_point() else value).detach().cpu().numpy()  # NumPy has no bfloat16
    if isinstance(value, np.ndarray):
        return images.from_array(value)
    raise ValueError(f"a {type(value).__name__} is no {modality} input: give a path, bytes or an array")


def nested(row: dict[str, Any], name: str) -> dict[str, Any]:
    """A row as `read` takes its cells: samples and rate that stand among the columns become one of them, `name`."""
    if name in row or not all(part in row for part in _DECODED):
        return row
    kept = {column: value for column, value in row.items() if column not in (*_DECODED, "path")}
    return {name: {part: row[part] for part in _DECODED}, **kept}


def warn_unrated(values: Sequence[Any], rate: int) -> None:
    """Says how many recordings are arrays alone, and at which rate they are taken."""
    count = sum(isinstance(value, ARRAY) for value in values)
    if count:
        logger.warning(
            "%d recording(s) are arrays without a rate, taken at %d samples a second, the model's: give "
            "(samples, rate) where theirs is another",
            count,
            rate,
        )


def _embedded(value: Mapping[str, Any], modality: Modality, base: Path) -> File:
    """A cell as datasets stores images and recordings: `bytes`, or `path`; or a decoded recording."""
    if modality == "speech" and value.get("array") is not None:
        return audio.from_rated(value["array"], value.get("sampling_rate"))
    if value.get("bytes") is not None:
        if not isinstance(value["bytes"], bytes | bytearray | memoryview):
            raise ValueError(f"bytes must be bytes, not a {type(value['bytes']).__name__}")
        return {"path": None, "bytes": bytes(value["bytes"])}
    if value.get("path"):
        if not isinstance(value["path"], str | Path):
            raise ValueError(f"a path must be a text, not a {type(value['path']).__name__}")
        return {"path": os.path.abspath(base / value["path"]), "bytes": None}
    raise ValueError(f"there is neither path nor bytes, only {', '.join(map(str, value)) or 'nothing'}")
