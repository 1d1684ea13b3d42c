"""Checkpoints that can be trusted: written beside, synced, renamed; checked when read.

checkpoints/
  last             one line: the folder of the newest whole checkpoint
  step-N/          weights.safetensors, optimizer.safetensors, state.json, manifest.json (blake2b of each)
  best-N/          weights.safetensors, manifest.json; one file with step-N's where those are the same weights
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

import mmtransfer
from mmtransfer import disk, documents, files, tensorfile
from mmtransfer.engine.model import Model
from mmtransfer.engine.state import TrainState
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
WEIGHTS, MOMENTS = "weights.safetensors", "optimizer.safetensors"
STEP, BEST = re.compile(r"step-(\d+)", re.ASCII), re.compile(r"best-\d+", re.ASCII)
"""Names of checkpoints; anything else in the folder is somebody else's."""
MANIFEST: Mapping[Any, documents.Form] = {str: str}
SPLIT = {"n": int, "content": str} | dict.fromkeys(("ids", "contents", "answers", "groups"), str)
VERSION = "version"
"""The key of state.json that says which version of mmtransfer wrote it."""
FIRST = "0.1.0"
"""The version that did not say so."""
STATE: Mapping[Any, documents.Form] = {"best": (str, None), "data?": {str: SPLIT}, f"{VERSION}?": str}


def write(
    folder: Path,
    name: str,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: dict[str, Any] | None,
    twin: str | None = None,
) -> None:
    """Writes one checkpoint folder; it exists whole or not at all. The folder around `folder` must be there.

    Nothing is left of one that cannot be written: it would only fill a full disk.

    `twin`: the checkpoint beside it that holds the same weights, which are not written again where the file system
    lets two names have one file.
    """
    temporary, final = folder / f"{name}.tmp", folder / name
    with disk.writing(temporary):
        folder.mkdir(exist_ok=True)
        files.remove(temporary)
        temporary.mkdir()
    try:
        _fill(temporary, tensors, state, folder / twin if twin is not None else None)
        with disk.writing(final):
            files.remove(final)
            temporary.rename(final)
            files.sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(
    place: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any] | None, twin: Path | None
) -> None:
    """Writes and syncs the files of a checkpoint."""
    digests: dict[str, str] = {}
    for part, values in tensors.items():
        with disk.writing(place / part):
            shared = _share(twin / part, place / part) if twin is not None and part == WEIGHTS else None
            digests[part] = shared or tensorfile.write(place / part, values)
    with disk.writing(place / "state.json"):
        if state is not None:
            (place / "state.json").write_text(json.dumps({VERSION: mmtransfer.__version__, **state}))
            digests["state.json"] = files.digest(place / "state.json")
        (place / "manifest.json").write_text(json.dumps(digests, sort_keys=True))
        for path in place.iterdir():
            files.sync(path)
        files.sync(place)


def _share(source: Path, path: Path) -> str | None:
    """Gives a checkpoint's file a second name, `path`; returns its digest, None where it cannot have two."""
    digest = _manifest(source.parent).get(source.name)
    try:
        if digest is not None:
            os.link(source, path)
        return digest
    except OSError:
        return None


def commit(folder: Path, name: str, best: str | None) -> None:
    """Makes `name` the last checkpoint, then removes all others but the one before it and the best."""
    before = _last(folder)
    point(folder, name)
    kept = {name, before}
    needed = {best, *(state["best"] for state in map(state_of, (folder / k for k in kept if k)) if state)}
    for path in _checkpoints(folder):
        if path.name not in kept | needed:
            shutil.rmtree(path, ignore_errors=True)


def point(folder: Path, name: str) -> None:
    """Makes `name` the last checkpoint; those after it, which are damaged, go with the next commit."""
    pointer = folder / "last"
    with disk.writing(pointer):
        files.remove(folder / f"last{files.TEMPORARY}")
        if pointer.is_dir():  # somebody's: a file cannot take its place
            pointer.rename(folder / f"last.{os.getpid()}")
        files.write_text(pointer, name + "\n")


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose checksums hold; damaged ones are named and passed over. None if there is none."""
    last = _last(folder)
    found = {path.name: int(path.name[5:]) for path in _checkpoints(folder) if STEP.fullmatch(path.name)}
    others = sorted(found, key=lambda name: -found[name])
    if last is None and others:
        logger.warning("%s does not say which checkpoint is the last; going by their numbers", folder / "last")
    for name in [*([last] if last else []), *(name for name in others if name != last)]:
        path = folder / name
        state = state_of(path) if intact(path) else None
        if state is not None and (state["best"] is None or _is_best(folder, state["best"])):
            return path
        logger.warning("The checkpoint %s is damaged; going back to the one before it", name)
    if last or others:
        logger.warning("No whole checkpoint is left in %s: training starts anew", folder)
    return None


def intact(path: Path) -> bool:
    """Whether every file of a checkpoint has the checksum of its manifest."""
    manifest = _manifest(path)
    try:
        return bool(manifest) and all(files.digest(path / name) == digest for name, digest in manifest.items())
    except (OSError, ValueError):  # a name that no file can have
        return False


def read_point(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file name, and the state."""
    names = [name for name in _manifest(path) if name.endswith(".safetensors")]
    return {name: load_file(path / name) for name in names}, state_of(path) or {}


def refuse_other_version(point: Path, folder: Path) -> None:
    """Raises MMTransferError for a checkpoint of another version: what its numbers mean, and which tensors there are,
    may have changed. `folder`: of the run."""
    version = (state_of(point) or {}).get(VERSION, FIRST)
    if version != mmtransfer.__version__:
        raise MMTransferError(
            f"The checkpoint is of mmtransfer {version}, this is {mmtransfer.__version__}",
            str(point),
            f"go on with version {version}, or train anew with the same settings: --config {folder / 'config.json'}",
        )


def restore(point: Path, state: TrainState, model: Model, trained: Collection[str]) -> dict[str, Tensor] | None:
    """Puts a checkpoint into state and model, of which the tensors `trained` are; returns the optimiser's tensors.

    Raises MMTransferError for a checkpoint of another run.
    """
    try:
        tensors, values = read_point(point)
        found, wanted = tensors[WEIGHTS], model.tensors(trained)
        if found.keys() != wanted.keys():
            raise ValueError(f"it has other tensors, such as {min(found.keys() ^ wanted.keys())}")
        state.load_state_dict({name: value for name, value in values.items() if name != VERSION})
        model.load_tensors(found)
    except (KeyError, ValueError, RuntimeError) as error:
        raise MMTransferError(
            f"The checkpoint does not fit the run: {str(error).splitlines()[0]}",
            str(point),
            "put the checkpoints of this run there, or remove the folder checkpoints to train from the start",
        ) from None
    return tensors.get(MOMENTS)


def remove(folder: Path) -> None:
    """Removes all checkpoints of a run that has succeeded; what else lies in the folder stays there, aloud."""
    for path in (*_checkpoints(folder), folder / "last", folder / "last.tmp"):
        with suppress(OSError):
            files.remove(path)
    with suppress(OSError):
        folder.rmdir()
    if folder.exists():
        logger.warning("%s stays: it holds what is no checkpoint", folder)


def step_of(name: str | None) -> int:
    """The optimiser steps that were done when a checkpoint was written, by its name; 0 without one."""
    return int(name.rsplit("-", 1)[1]) if name else 0


def _checkpoints(folder: Path) -> list[Path]:
    """The folders of checkpoints, half-written ones included; nothing else that lies there."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    names = (path.name.removesuffix(".tmp") for path in found)
    return [path for path, name in zip(found, names, strict=True) if STEP.fullmatch(name) or BEST.fullmatch(name)]


def _last(folder: Path) -> str | None:
    """The name in `last`; None where there is no such file, or it names no checkpoint."""
    try:
        name = (folder / "last").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return name if STEP.fullmatch(name) else None


def _is_best(folder: Path, name: str) -> bool:
    return BEST.fullmatch(name) is not None and intact(folder / name)


def _manifest(path: Path) -> dict[str, str]:
    """Checksums by file name; empty where there is no whole manifest."""
    try:
        found = documents.read_json(path / "manifest.json", MANIFEST)
    except (OSError, ValueError):
        return {}
    return found if all(Path(name).name == name for name in found) else {}


def state_of(path: Path) -> dict[str, Any] | None:
    """The state of a checkpoint; None where there is none, or no whole one."""
    try:
        return documents.read_json(path / "state.json", STATE)
    except (OSError, ValueError):
        return None
