"""Backbones by name: torchvision's networks, transformers' encoders, run folders, named shapes without weights."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from torch import Tensor

from mmtransfer.backbones import speech, text, vision, weights
from mmtransfer.backbones.staged import Backbone, State, said_dropped
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")

HEADS = ("pooler.", "cls.", "lm_head.", "classifier.", "quantizer.", "project_q.", "project_hid.")
"""Parts of published checkpoints that a backbone does not have; dropped aloud."""


def names() -> list[str]:
    """The names that need no folder and no hub."""
    return [*vision.names(), *speech.SHAPES]


def load(name: str, weights_name: str | None = None, modality: str | None = None) -> Backbone:
    """A backbone by name.

    `name`: a torchvision network, a named shape, a run folder, a local folder of transformers, or a hub name;
    `weights_name`: None for the backbone's own, `none` for random ones (drawn from torch's generator), a torchvision
    weights name, or a .pth/.safetensors file; `modality`: what the task needs. Raises MMTransferError for names and
    weights that are not there, and for a backbone of another modality.
    """
    place = Path(name)
    file = weights_name if weights_name and weights_name.endswith((".pth", ".pt", ".safetensors")) else None
    tensors = weights.state_from_file(file) if file else None
    if (place / "model" / weights.DESCRIPTION).is_file():
        backbone = weights.read(place / "model", weights_name)
        if tensors is not None:
            backbone.load_library_state(tensors, f"--weights {file}")
        backbone.source = str(place)
    elif place.is_dir() or _is_path(name):
        _need_folder(place, name)
        backbone = _transformer(name, weights_name, tensors)
    elif name in vision.names():
        _need(modality, "image", name)
        return vision.load(name, weights_name, tensors, f"--weights {file or weights_name}")
    elif name in speech.SHAPES:
        _need(modality, "speech", name)
        backbone = _shape(name, tensors, f"--weights {file}")
    elif "/" in name or _known_model_type(name):
        backbone = _transformer(name, weights_name, tensors)
    else:
        raise unknown("backbone", name, names(), f"--backbone {name}")
    _need(modality, backbone.modality, name)
    return backbone


def rebuild(description: Mapping[str, Any]) -> Backbone:
    """The architecture of `Backbone.describe()`, with random weights."""
    if description["modality"] == "image":
        backbone: Backbone = vision.load(description["name"], "none", None, "")
    else:
        backbone = _from_config(dict(description["config"]))
    backbone.name, backbone.source = description["name"], description["source"]
    backbone.preprocess = description["preprocess"]
    return backbone


def _need(wanted: str | None, found: str, name: str) -> None:
    if wanted is not None and wanted != found:
        raise MMTransferError(
            f"{name} is a backbone for {found}, the task needs one for {wanted}", f"--backbone {name}", "choose another"
        )


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")


def _need_folder(place: Path, name: str) -> None:
    if not place.is_dir():
        raise MMTransferError("No such folder", f"--backbone {name}", "check the path; a hub name has the form ORG/NAME")
    if not (place / "config.json").is_file():
        raise MMTransferError(
            "Neither a run folder (model/backbone.json) nor a folder of transformers (config.json)",
            f"--backbone {name}",
            "give a folder that from_pretrained reads, or a finished run",
        )


def _known_model_type(name: str) -> bool:
    return any(name.startswith(f"{family}-") for family in (*text.FAMILIES, *speech.FAMILIES))


def _shape(name: str, tensors: Mapping[str, Tensor] | None, where: str) -> Backbone:
    from transformers import Wav2Vec2Config

    backbone = _from_config(Wav2Vec2Config(**speech.SHAPES[name]).to_dict())
    backbone.name, backbone.source = name, "random weights"
    if tensors is not None:
        backbone.load_library_state(tensors, where)
    return backbone


def _from_config(config: dict[str, Any]) -> Backbone:
    from transformers import AutoConfig

    made = AutoConfig.for_model(config.pop("model_type"), **config)
    made._attn_implementation = "sdpa"
    family = _family(made, "config.json")
    return family(family.build(made))


def _family(config: Any, where: str) -> Any:
    for families in (text.FAMILIES, speech.FAMILIES):
        if config.model_type in families:
            return families[config.model_type]
    known = [*text.FAMILIES, *speech.FAMILIES]
    raise unknown("model type", config.model_type, known, where)


def _transformer(name: str, weights_name: str | None, tensors: Mapping[str, Tensor] | None) -> Backbone:
    """A folder or hub name of transformers; float32 whatever the file's dtype."""
    import torch
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its report of unused tensors; ours says the same in a line
    transformers_logging.disable_progress_bar()
    local = Path(name).is_dir() or not _reachable(name)
    where = f"--backbone {name}"
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=local)
        family = _family(config, where)
        config._attn_implementation = "sdpa"
        model = family.build(config)
        backbone: Backbone = family(model)
        backbone.name, backbone.source = name, name if weights_name != "none" else "random weights"
        if backbone.modality == "text":
            backbone.tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
        if tensors is None and weights_name not in (None, "none"):
            raise MMTransferError(
                f"Unknown weights {weights_name!r}", f"--weights {weights_name}", "give none or a .safetensors/.pth file"
            )
        if tensors is not None:
            backbone.load_library_state(_body(tensors, backbone), f"--weights {weights_name}")
        elif weights_name is None:
            loaded, info = type(model).from_pretrained(
                name, config=config, dtype=torch.float32, local_files_only=local, output_loading_info=True,
                **({"add_pooling_layer": False} if config.model_type in ("bert",) else {}),
            )  # fmt: skip
            unexpected = [key for key in info["unexpected_keys"] if not key.startswith(HEADS)]
            missing = [key for key in info["missing_keys"] if key != "masked_spec_embed"]
            if missing or unexpected:
                raise MMTransferError(
                    f"The weights do not fit: missing {missing[:10]}, unexpected {unexpected[:10]}", where, "check them"
                )
            if info["unexpected_keys"]:
                dropped = sorted(info["unexpected_keys"])
                logger.info("dropped what a backbone does not have: %s", ", ".join(dropped[:6]))
            backbone.load_library_state(loaded.state_dict(), where)
    except OSError as error:
        if Path(name).is_dir():
            raise MMTransferError(str(error).splitlines()[0], where, "check the folder's files") from None
        raise MMTransferError(
            f"Could not get {name!r}: it is not in the local cache and the hub is out of reach",
            where,
            "give a local folder (--backbone path/to/folder with config.json and weights), or check the name and network",
        ) from None
    return backbone


def _body(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Tensors of a file without the library's prefix and without heads."""
    own = set(backbone.library_state())
    body: dict[str, Tensor] = {}
    for name, value in tensors.items():
        short = name.removeprefix(f"{backbone.family}.")
        body[short if short in own else name] = value
    heads = {name: value for name, value in body.items() if name not in own and name.startswith(HEADS)}
    if heads:
        said_dropped("what a backbone does not have", heads)
    return {name: value for name, value in body.items() if name not in heads}


def _reachable(name: str) -> bool:
    """Whether the hub answers within 3 s; without it transformers would retry for 46 s."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    host = urlparse(constants.ENDPOINT)
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=3).close()
    except OSError:
        logger.info("the hub does not answer; looking for %s in the local cache", name)
        return False
    return True


__all__ = ["Backbone", "State", "load", "names", "rebuild"]
