"""Backbones by name: torchvision's networks, transformers' encoders, run folders, named shapes without weights.

`vision` is imported where it is needed: torchvision takes seconds, and a text needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtransfer import documents
from mmtransfer.backbones import builtin, carried, deepspeech, pretrained, speech, text, timm_networks
from mmtransfer.backbones import weights as files
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
            a local folder of transformers (config.json), a torchvision network, a named shape, or a hub name. What lies
            on disk comes first.
        weights: None for the backbone's own (of a named shape: random ones), `none` for random ones (drawn from
            torch's generator), one of torchvision's weights names, or a .pth, .pt or .safetensors file.
        modality: `image`, `text` or `speech`, if only one will do.

    Raises:
        MMTransferError: names, folders or weights that are not there or do not fit; a backbone of another modality.
    """
    from mmtransfer.backbones import vision

    check(name)
    place = Path(name).expanduser()
    file = weights if weights and weights.endswith(FILES) else None
    if (place / "model" / files.DESCRIPTION).is_file():
        _need(modality, files.description(place / "model")["modality"], name)
        _plain(weights, file)
        backbone = files.read(place / "model", random=weights == "none" or file is not None, whole=True)
        backbone.source = str(place)
    elif builtin.is_builtin(name):
        chosen = builtin.modality_of(name, modality)
        _need(modality, chosen, name)
        _plain(weights, file)
        backbone = builtin.load(chosen, random=weights == "none" or file is not None)
    elif (place / "config.json").is_file():
        _refuse_unfinished(place)
        config = pretrained.configuration(str(place))
        _need(modality, pretrained.family_of(config, f"--backbone {name}").modality, name)
        _plain(weights, file)
        backbone = pretrained.load(str(place), config, own_weights=weights is None)
    elif timm_networks.is_timm(name):
        _need(modality, "image", name)
        _plain(weights, file)
        backbone = timm_networks.load(name, "none" if file else weights)
    elif name in vision.names():
        _need(modality, "image", name)
        backbone = vision.load(name, "none" if file else weights)
    elif name in speech.SHAPES:
        _need(modality, "speech", name)
        _plain(weights, file)
        backbone = pretrained.build({"model_type": "wav2vec2", **speech.SHAPES[name]})
        backbone.name = name
    elif name == deepspeech.NAME:
        _need(modality, "speech", name)
        if weights not in (None, "none", file):
            raise MMTransferError(
                "There is no official checkpoint of torchaudio's DeepSpeech: it starts from random weights",
                f"--weights {weights}",
                "leave it out, or give a .pth or .safetensors file of your own",
            )
        backbone = deepspeech.DeepSpeechBackbone(**deepspeech.CONFIG)
    else:
        config = pretrained.configuration(name)
        _need(modality, pretrained.family_of(config, f"--backbone {name}").modality, name)
        _plain(weights, file)
        backbone = pretrained.load(name, config, own_weights=weights is None)
    if file is not None:
        backbone.adopt(files.state_from_file(file), f"--weights {file}")
        backbone.source = file
    elif weights == "none":
        backbone.source = "random weights"
    return backbone


def check(name: str) -> None:
    """Raises MMTransferError for a name that `load` cannot find on disk or among its own, and that is no hub name."""
    place = Path(name).expanduser()
    if timm_networks.is_timm(name):
        return timm_networks.check(name)
    if name in names() or builtin.is_builtin(name):
        return
    if (place / "model" / files.DESCRIPTION).is_file() or (place / "config.json").is_file():
        return
    if place.is_dir() or _is_path(name):
        raise _no_backbone(place, name)
    # the hub's names without an owner are older than its image encoders
    ownerless = (*text.FAMILIES, *speech.FAMILIES)
    if "/" not in name and not any(name == family or name.startswith(f"{family}-") for family in ownerless):
        raise unknown("backbone", name, [builtin.NAME, *names()], f"--backbone {name}")


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
        found = documents.load(place / "config.json")
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


__all__ = ["Backbone", "State", "carried", "check", "load", "names", "rebuild"]
