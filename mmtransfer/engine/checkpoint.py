"""Checkpoints that can be trusted: written beside, synced, renamed; checked when read.

checkpoints/
  last             one line: the folder of the newest whole checkpoint
  step-N/          weights.safetensors, optimizer.safetensors, state.json, manifest.json (blake2b of each)
  best-N/          weights.safetensors, manifest.json
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

logger = logging.getLogger("mmtransfer")


def write(folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any] | None) -> None:
    """Writes one checkpoint folder; it exists whole or not at all."""
    temporary, final = folder / f"{name}.tmp", folder / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for part, values in tensors.items():
        # safetensors refuses channels_last tensors; clones also part views that share storage
        save_file({key: value.detach().cpu().contiguous() for key, value in values.items()}, temporary / part)
    if state is not None:
        (temporary / "state.json").write_text(json.dumps(state))
    manifest = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
    (temporary / "manifest.json").write_text(json.dumps(manifest))
    for path in temporary.iterdir():
        _sync(path)
    _sync(temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    _sync(folder)


def commit(folder: Path, name: str, best: str | None) -> None:
    """Makes `name` the last checkpoint, then removes all others but the one before it and the best."""
    pointer = folder / "last"
    before = pointer.read_text().strip() if pointer.exists() else None
    point(folder, name)
    kept = {name, before}
    needed = {best, *(state["best"] for state in map(_state, (folder / k for k in kept if k)) if state)}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in kept | needed:
            shutil.rmtree(path)


def point(folder: Path, name: str) -> None:
    """Makes `name` the last checkpoint; those after it, which are damaged, go with the next commit."""
    temporary = folder / "last.tmp"
    temporary.write_text(name + "\n")
    _sync(temporary)
    temporary.rename(folder / "last")
    _sync(folder)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose checksums hold; damaged ones are named and passed over. None if there is none."""
    pointer = folder / "last"
    if not pointer.exists():
        return None
    last = pointer.read_text().strip()
    others = sorted((p.name for p in folder.glob("step-*") if p.suffix != ".tmp"), key=lambda n: -int(n[5:]))
    for name in [last, *(name for name in others if name != last)]:
        path = folder / name
        state = _state(path) if intact(path) else None
        if state is not None and (state["best"] is None or intact(folder / state["best"])):
            return path
        logger.warning("The checkpoint %s is damaged; going back to the one before it", name)
    return None


def intact(path: Path) -> bool:
    """Whether every file of a checkpoint has the checksum of its manifest."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        return all(_digest(path / name) == digest for name, digest in manifest.items())
    except (OSError, ValueError):
        return False


def read(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file name, and the state."""
    return {file.name: load_file(file) for file in path.glob("*.safetensors")}, _state(path) or {}


def remove(folder: Path) -> None:
    """Removes all checkpoints of a run that has succeeded."""
    shutil.rmtree(folder, ignore_errors=True)


def _state(path: Path) -> dict[str, Any] | None:
    file = path / "state.json"
    return json.loads(file.read_text()) if file.exists() else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
