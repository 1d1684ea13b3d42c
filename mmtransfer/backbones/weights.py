"""Weights on disk: files of others, and a run's own `model/` folder."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmtransfer import documents, files
from mmtransfer.backbones import foreign, manifest
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError, damaged

logger = logging.getLogger("mmtransfer")

DESCRIPTION, TENSORS = "backbone.json", "backbone.safetensors"

FORM: documents.Form = {
    "name": str,
    "modality": str,
    "family": str,
    "source": str,
    "config": {},
    "preprocess": {},
    "pooling?": str,
    "depth?": int,
    "width?": int,
}
"""What backbone.json must have."""
FORMAT = {"format": "pt"}
"""What transformers wants to find in a file of tensors."""


def state_from_file(path: str | Path, where: str | None = None) -> dict[str, Tensor]:
    """Tensors of a .safetensors, .pth or .pt file; of the latter only tensors are ever unpickled."""
    path = Path(path).expanduser()
    where = where or f"--weights {path}"
    if not path.is_file():
        raise MMTransferError("No such weights file", where, "check the path, or give --weights none")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        do = "give a state dict, or the weights as .safetensors"
        raise MMTransferError(f"Not a readable weights file: {foreign.pickled(error)}", where, do) from None
    except Exception as error:  # whatever a damaged file makes the two readers raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MMTransferError(f"Not a readable weights file: {first}", where, "give a state dict") from None
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MMTransferError("The file holds no state dict", where, "save model.state_dict() and give that file")
    return {name.removeprefix("module."): value for name, value in state.items()}


def sha256(backbone: Backbone) -> str:
    """Digest of the library's names, dtypes, shapes and bytes of all parameters and buffers."""
    return _digest(backbone.library_state())


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save(backbone: Backbone, folder: Path, store: Path | None = None) -> None:
    """Writes a backbone into a run's model/ folder.

    `store`: folder that keeps weights under their digest; the run's file is a hard link to it (a copy where the file
    system has none), so that runs on the same frozen backbone cost one copy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents.write(folder / DESCRIPTION, backbone.describe(), default=list)
    if backbone.tokenizer is not None:
        backbone.tokenizer.save_pretrained(folder)
    target = folder / TENSORS
    state = {name: value.cpu() for name, value in backbone.library_state().items()}
    if store is None:
        files.write_tensors(target, state, FORMAT)
        return
    store.mkdir(parents=True, exist_ok=True)
    digest = _digest(state)
    kept = store / f"{digest}.safetensors"
    if not _holds(kept, digest):
        files.write_tensors(kept, state, FORMAT, shared=True)
    target.unlink(missing_ok=True)
    try:
        os.link(kept, target)
    except OSError:
        shutil.copyfile(kept, target)


def _holds(kept: Path, digest: str) -> bool:
    """Whether stored weights are those that their name tells; says so where they are others.

    They are links to the files of runs, so whoever changes one of those in place changes them too.
    """
    if not kept.exists():
        return False
    try:
        whole = _digest(load_file(kept)) == digest
    except (OSError, SafetensorError):
        whole = False
    if not whole:
        logger.warning("%s is damaged: it is written anew, the runs that share it have to be trained again", kept)
    return whole


def description(folder: Path) -> dict[str, Any]:
    """`Backbone.describe()` of a run's model/ folder."""
    path = folder / DESCRIPTION
    try:
        return documents.read_json(path, FORM)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_model(folder: Path, random: bool = False, whole: bool = False) -> Backbone:
    """The backbone of a run's model/ folder; `random`: without its weights; `whole`: with all stages run, whichever
    the run took its features of. Raises MMTransferError for files that are missing or not those that the run wrote."""
    from mmtransfer.backbones import rebuild

    described = description(folder)
    manifest.check(folder)
    try:
        backbone = rebuild(described)
    except Exception as error:  # whatever an edited description makes the libraries raise
        if isinstance(error.__cause__, ImportError):  # nothing is wrong with the run
            raise
        raise damaged(folder / DESCRIPTION, error) from None
    if "depth" in described and not whole:
        if not 0 < described["depth"] <= len(backbone.stages):
            raise damaged(folder / DESCRIPTION, ValueError(f"there is no depth {described['depth']}"))
        backbone.depth, backbone.width = described["depth"], described["width"]
    backbone.tokenizer = _tokenizer(folder, backbone.modality)
    if not random:
        if not (folder / TENSORS).is_file():
            raise damaged(folder / TENSORS, FileNotFoundError())
        backbone.load_library_state(state_from_file(folder / TENSORS, str(folder)), str(folder / TENSORS))
    return backbone


def _tokenizer(folder: Path, modality: str) -> Any:
    """The tokenizer of a model/ folder; None where there is none and, of a run on texts, none is missing."""
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        if modality == "text" and (folder / "task.json").is_file():
            raise damaged(settings, FileNotFoundError())
        return None
    try:
        found = foreign.tokenizer(folder, str(settings))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(settings, error) from None
    # transformers makes a tokenizer of special tokens alone where the vocabulary is missing: all words would be [UNK]
    if modality == "text" and len(found) <= len(found.all_special_tokens):
        raise damaged(folder / "tokenizer.json", FileNotFoundError())
    return found
