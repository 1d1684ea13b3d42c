"""Weights on disk: files of others, and a run's own `model/` folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmtransfer import documents
from mmtransfer.backbones.staged import Backbone
from mmtransfer.errors import MMTransferError, damaged

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
    digest = hashlib.sha256()
    for name, value in sorted(backbone.library_state().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save(backbone: Backbone, folder: Path, store: Path | None = None) -> None:
    """Writes a backbone into a run's model/ folder.

    `store`: folder that keeps weights under their digest; the run's file is a hard link to it (a copy where the file
    system has none), so that runs on the same frozen backbone cost one copy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_text(json.dumps(backbone.describe(), indent=2, default=list) + "\n", encoding="utf-8")
    if backbone.tokenizer is not None:
        backbone.tokenizer.save_pretrained(folder)
    target = folder / TENSORS
    state = {name: value.cpu() for name, value in backbone.library_state().items()}
    if store is None:
        save_file(state, target, FORMAT)
        return
    store.mkdir(parents=True, exist_ok=True)
    kept = store / f"{sha256(backbone)}.safetensors"
    if not kept.exists():
        temporary = kept.with_suffix(f".{os.getpid()}.tmp")
        save_file(state, temporary, FORMAT)
        temporary.replace(kept)
    target.unlink(missing_ok=True)
    try:
        os.link(kept, target)
    except OSError:
        shutil.copyfile(kept, target)


def description(folder: Path) -> dict[str, Any]:
    """`Backbone.describe()` of a run's model/ folder."""
    path = folder / DESCRIPTION
    try:
        return documents.read(path, FORM)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read(folder: Path, random: bool = False, whole: bool = False) -> Backbone:
    """The backbone of a run's model/ folder; `random`: without its weights; `whole`: with all stages run, whichever
    the run took its features of."""
    from mmtransfer.backbones import rebuild

    described = description(folder)
    try:
        backbone = rebuild(described)
    except Exception as error:  # whatever an edited description makes the libraries raise
        raise damaged(folder / DESCRIPTION, error) from None
    if "depth" in described and not whole:
        if not 0 < described["depth"] <= len(backbone.stages):
            raise damaged(folder / DESCRIPTION, ValueError(f"there is no depth {described['depth']}"))
        backbone.depth, backbone.width = described["depth"], described["width"]
    if (folder / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        backbone.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not random:
        if not (folder / TENSORS).is_file():
            raise damaged(folder / TENSORS, FileNotFoundError())
        backbone.load_library_state(state_from_file(folder / TENSORS, str(folder)), str(folder / TENSORS))
    return backbone
