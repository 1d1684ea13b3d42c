"""Backbones by name: torchvision's networks, transformers' encoders, run folders, named shapes without weights.

`vision` is imported where it is needed: torchvision takes seconds, and a text needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmtransfer import documents
from mmtransfer.backbones import builtin, carried, deepspeech, outside, pretrained, speech, text, timm_networks
from mmtransfer.backbones import weights as files
from mmtransfer.backbones.outside import wrap
from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.errors import MMTransferError, unknown

FILES = (".pth", ".pt", ".safetensors")
"""Suffixes of a weights file."""


def names() -> list[str]:
    """The names that need no folder and no hub."""
    from mmtransfer.backbones import vision

    return [*vision.names(), *speech.SHAPES, deepspeech.NAME]


def load(name: str, weights: str | None = None, modality: str | None = None) -> Backbone:
    """A backbone by name, in float32 on the CPU.

    Args:
        name: `builtin` (the one that comes with the installation for this modality) or `builtin:NAME`, a run folder,
            a local folder of transformers (config.json), a torchvision network, a named shape, one of another package
            (entry points `mmtransfer.backbones`), or a hub name. What lies on disk comes first.
        weights: None for the backbone's own (of a named shape: random ones), `none` for random ones (drawn from
            torch's generator), one of torchvision's weights names, or a .pth, .pt or .safetensors file.
        modality: `image`, `text` or `speech`, if only one will do.

    Raises:
        MMTransferError: names, folders or weights that are not there or do not fit; a backbone of another modality.

    >>> backbone = mmt.backbones.load("resnet18", weights="none")
    >>> backbone.modality, backbone.width, len(backbone.stages)
    ('image', 512, 5)
    """
    check(name)
    file = weights if weights and weights.endswith(FILES) else None
    random = weights == "none" or file is not None
    source = _source(name, weights, random, modality)
    _need(modality, source.modality, name)
    if not source.names_weights:
        _plain(weights, file)
    backbone = source.make()
    if file is not None:
        backbone.adopt(files.state_from_file(file), f"--weights {file}")
        backbone.source = file
    elif weights == "none":
        backbone.source = "random weights"
    _refuse_infinite(backbone, f"--weights {file}" if file else f"--backbone {name}")
    return backbone


class _Source(NamedTuple):
    """Where a backbone comes from."""

    modality: str
    make: Callable[[], Backbone]
    names_weights: bool = False
    """Whether it has weights by name, and looks after `weights` itself."""


def _source(name: str, weights: str | None, random: bool, modality: str | None) -> _Source:
    """The first that has a backbone of this name; `random`: whether its own weights are not needed."""
    from mmtransfer.backbones import vision

    place = Path(name).expanduser()
    if (place / "model" / files.DESCRIPTION).is_file():
        return _Source(files.description(place / "model")["modality"], lambda: _of_run(place, random))
    if builtin.is_builtin(name):
        chosen = builtin.modality_of(name, modality)
        return _Source(chosen, lambda: builtin.load_packed(chosen, random=random))
    if (place / "config.json").is_file():
        _refuse_unfinished(place)
        return _of_transformers(str(place), f"--backbone {name}", weights is None)
    if timm_networks.is_timm(name):
        return _Source("image", lambda: timm_networks.load_network(name, "none" if random else weights))
    if name in vision.names():
        return _Source("image", lambda: vision.load_network(name, "none" if random else weights), names_weights=True)
    if name in speech.SHAPES:
        return _Source("speech", lambda: _of_shape(name))
    if name == deepspeech.NAME:
        return _Source("speech", lambda: _deep_speech(weights, random), names_weights=True)
    if outside.is_outside(name):
        made = outside.load(name, weights == "none")
        return _Source(made.modality, lambda: made)
    return _of_transformers(name, f"--backbone {name}", weights is None)


def _of_run(place: Path, random: bool) -> Backbone:
    backbone = files.read_model(place / "model", random=random, whole=True)
    backbone.source = str(place)
    return backbone


def _of_transformers(name: str, where: str, own_weights: bool) -> _Source:
    config = pretrained.configuration(name)
    modality = pretrained.family_of(config, where).modality
    return _Source(modality, lambda: pretrained.load_encoder(name, config, own_weights=own_weights))


def _of_shape(name: str) -> Backbone:
    backbone = pretrained.build({"model_type": "wav2vec2", **speech.SHAPES[name]})
    backbone.name = name
    return backbone


def _deep_speech(weights: str | None, random: bool) -> Backbone:
    if weights is not None and not random:
        raise MMTransferError(
            "There is no official checkpoint of torchaudio's DeepSpeech: it starts from random weights",
            f"--weights {weights}",
            "leave it out, or give a .pth or .safetensors file of your own",
        )
    return deepspeech.DeepSpeechBackbone(**deepspeech.CONFIG)


def _refuse_infinite(backbone: Backbone, where: str) -> None:
    """Raises MMTransferError for weights that are no numbers: nothing could be computed with them."""
    bad = [name for name, value in backbone.named_parameters() if not value.isfinite().all()]
    if bad:
        raise MMTransferError(
            f"The weights are not all finite numbers: {', '.join(bad[:3])}" + (", ..." if len(bad) > 3 else ""),
            where,
            "the file is damaged: get it again, or give --weights none",
        )


def check(name: str) -> None:
    """Raises MMTransferError for a name that `load` cannot find on disk or among its own, and that is no hub name."""
    place = Path(name).expanduser()
    if timm_networks.is_timm(name):
        return timm_networks.check(name)
    if name in names() or builtin.is_builtin(name) or outside.is_outside(name):
        return
    if (place / "model" / files.DESCRIPTION).is_file() or (place / "config.json").is_file():
        return
    if place.is_dir() or _is_path(name):
        raise _no_backbone(place, name)
    # the hub's names without an owner are older than its image encoders
    ownerless = (*text.FAMILIES, *speech.FAMILIES)
    if "/" not in name and not any(name == family or name.startswith(f"{family}-") for family in ownerless):
        raise unknown("backbone", name, [builtin.NAME, *names(), *outside.POINTS], f"--backbone {name}")


def rebuild(description: Mapping[str, Any]) -> Backbone:
    """The architecture of `Backbone.describe()`, with random weights."""
    backbone = _architecture(description["family"], description["config"])
    backbone.name, backbone.source = description["name"], description["source"]
    backbone.preprocess = {**backbone.preprocess, **description["preprocess"]}
    backbone.pooling = description.get("pooling", backbone.pooling)
    return backbone


def _architecture(family: str, config: Mapping[str, Any]) -> Backbone:
    if family == deepspeech.NAME:
        return deepspeech.DeepSpeechBackbone(**config)
    if family in (outside.MODULE, outside.POINT):
        return outside.rebuild(family, config)
    if family == timm_networks.FAMILY:
        return timm_networks.build(config)
    if family not in pretrained.families():
        from mmtransfer.backbones import vision

        if family in vision.names():
            return vision.build(family, config)
    return pretrained.build({"model_type": family, **config})


def _refuse_unfinished(place: Path) -> None:
    """Raises MMTransferError for a run without a model: its config.json is not that of transformers."""
    try:
        found = documents.load_json(place / "config.json")
    except (OSError, ValueError):
        return  # said where it is read as transformers'
    if isinstance(found, dict) and "model_type" not in found and "task" in found:
        command = f"mmtransfer fit {found['task']} --resume --out {place}"
        raise MMTransferError("The run has not ended: it has no model", f"--backbone {place}", f"go on: {command}")


def _need(wanted: str | None, found: str, name: str) -> None:
    if wanted is not None and wanted != found:
        raise MMTransferError(
            f"{name} is a backbone for {found}, the task needs one for {wanted}",
            f"--backbone {name}",
            f"choose a backbone for {wanted}",
        )


def _plain(weights: str | None, file: str | None) -> None:
    """Only torchvision's networks have weights with names."""
    if weights not in (None, "none", file):
        raise unknown(
            "weights", str(weights), ["none", *(f"a {suffix} file" for suffix in FILES)], f"--weights {weights}"
        )


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")


def _no_backbone(place: Path, name: str) -> MMTransferError:
    if not place.is_dir():
        return MMTransferError(
            "No such folder", f"--backbone {name}", "check the path; a hub name has the form ORG/NAME"
        )
    return MMTransferError(
        "Neither a finished run (model/backbone.json) nor a folder of transformers (config.json)",
        f"--backbone {name}",
        "give the folder of a finished run, or one that from_pretrained reads",
    )


__all__ = ["Backbone", "State", "carried", "check", "load", "names", "rebuild", "wrap"]
