"""Which files belong to a run: the only ones that `--overwrite` removes, and only where there are no others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmtransfer import disk, documents, lock
from mmtransfer.documents import PROGRAM
from mmtransfer.errors import MMTransferError

CHECKPOINTS = (
    "checkpoints/last",
    *(f"checkpoints/step-[0-9]*/{name}" for name in ("weights.safetensors", "optimizer.safetensors", "state.json")),
    "checkpoints/step-[0-9]*/manifest.json",
    "checkpoints/best-[0-9]*/weights.safetensors",
    "checkpoints/best-[0-9]*/manifest.json",
)
FILES = (
    lock.NAME,
    "environment.json",
    "result.json",
    "config.json",
    "log.jsonl",
    "README.md",
    "report.html",
    "predictions/validation.parquet",
    "predictions/test.parquet",
    *CHECKPOINTS,
    "model/backbone.json",
    "model/backbone.safetensors",
    "model/head.safetensors",
    "model/task.json",
    "model/manifest.json",
    "model/words.arpa",
    "model/letters.arpa",
    # for other libraries
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "model/config.json",
    "model/model.safetensors.index.json",
    "model/lm_head.safetensors",
    "model/classifier.safetensors",
    "model/preprocessor_config.json",
    # tokenizers of all families
    "model/tokenizer.json",
    "model/tokenizer_config.json",
    "model/special_tokens_map.json",
    "model/added_tokens.json",
    "model/chat_template.jinja",
    "model/vocab.json",
    "model/vocab.txt",
    "model/merges.txt",
    "model/bpe.codes",
    "model/*.model",
    # a search's
    "auto.json",
    *(f"trials/[0-9]*/{name}" for name in ("environment.json", "result.json", "config.json", "log.jsonl", lock.NAME)),
    *(f"trials/[0-9]*/{name}" for name in ("predictions/validation.parquet", *CHECKPOINTS)),
    # trackers name theirs as they like
    "tensorboard/**/events.out.tfevents*",
    "tensorboard/**/hparams.yml",
    "wandb/latest-run",
    "wandb/debug*.log",
    "wandb/*run-*/**",
)
"""All files that a run writes into its folder, each also with .tmp behind it while it is written. `*` stands for any
part of a name, `**` for all that is below."""
OLD_TEMPORARY = tuple(f"{name}.tmp" for name in ("config", "environment", "result", "log", "model/task"))
"""What version 0.1.0 left of them when it was killed."""
LAST = ("environment.json", lock.NAME)
"""Removed after all others, so that a folder half emptied is still known as a run."""
FIRST = ("result.json", "config.json", "checkpoints/last")
"""Removed before all others, so that it is taken for no finished run, and none to go on with."""
SOURCES = ("train", "validation", "test", "backbone", "weights", "lm")
"""Settings that may name files."""

OWN = {"program": str, "schema": int}
OLD = {
    "environment.json": {"versions": {PROGRAM: str}, "git_commit": (str, None), "command": [str], "threads": int},
    "result.json": {"schema": int, "status": str, "task": str, "seed": int, "command": [str], "warnings": [str]},
}
"""The files by which a run is known, as version 0.1.0 wrote them: without the name of the program."""


def known(folder: Path) -> bool:
    """Whether a folder says that it is a run."""
    return any(_ours(folder / name, old) for name, old in OLD.items())


def _ours(path: Path, old: Mapping[str, Any]) -> bool:
    try:
        value = documents.load_json(path)
        documents.check(value, OWN if isinstance(value, dict) and "program" in value else old)
    except (OSError, ValueError):
        return False
    return bool(value.get("program", PROGRAM) == PROGRAM)


def strange(folder: Path) -> list[str]:
    """What lies in a folder and belongs to no run, as paths relative to it; links to folders are never a run's."""
    found = []
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        here = Path(place).relative_to(folder)
        for name in list(folders):
            path = here / name
            link = (folder / path).is_symlink()
            if link or not _may_hold(path):
                folders.remove(name)
                if not (link and _listed(path)):
                    found.append(f"{path}/")
        found += [str(here / name) for name in files if not _listed(here / name)]
    return sorted(found)


def refuse_strange(folder: Path, where: str) -> None:
    """Raises MMTransferError for a folder that is no run, or holds anything else beside one."""
    if not known(folder):
        raise MMTransferError("Not a run folder, so it is not overwritten", where, "give another --out")
    others = strange(folder)
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise MMTransferError(
            f"The run folder holds what belongs to no run, so it is not overwritten: {', '.join(others[:3])}{more}",
            where,
            "move that elsewhere, or give another --out",
        )


def refuse_sources(folder: Path, settings: Mapping[str, Any], where: str) -> None:
    """Raises MMTransferError where data or weights that the settings name lie in a folder that is to be emptied."""
    inside = folder.resolve()
    for name in SOURCES:
        value = settings.get(name)
        if not isinstance(value, str | os.PathLike):
            continue
        path = Path(os.path.expanduser(value))
        if os.path.exists(path) and inside in (path.resolve(), *path.resolve().parents):
            raise MMTransferError(
                f"--{name} {value} lies in the folder that --overwrite would empty", where, "give another --out"
            )


def clear(folder: Path) -> None:
    """Removes the files of a run, and folders that are empty then; `refuse_strange` has seen that there are no others.

    The lock stays: it is held by whoever empties the folder.
    """
    files, folders = [], []
    for place, inner, names in os.walk(folder, topdown=False):
        links = [name for name in inner if (Path(place) / name).is_symlink()]
        files += [Path(place) / name for name in (*names, *links)]
        folders += [Path(place) / name for name in inner if name not in links]
    order = {folder / name: rank for names, rank in ((FIRST, 0), (LAST, 2)) for name in names}
    for path in sorted(files, key=lambda path: order.get(path, 1)):
        if path != folder / lock.NAME and _listed(path.relative_to(folder)):
            with disk.writing(path):
                path.unlink(missing_ok=True)
    for path in folders:
        with suppress(OSError):  # something has come in since
            path.rmdir()


def _unreadable(error: OSError) -> None:
    raise error


def _listed(path: Path) -> bool:
    name = path.as_posix()
    if name in OLD_TEMPORARY:
        return True
    name = name.removesuffix(".tmp")
    return any(_matches(name.split("/"), pattern.split("/")) for pattern in FILES)


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _may_hold(path: Path) -> bool:
    """Whether a folder is one that a run makes."""
    for pattern in (pattern.split("/") for pattern in FILES):
        head = pattern[: pattern.index("**")] if "**" in pattern else pattern[:-1]
        if all(map(fnmatchcase, path.parts, head)) and ("**" in pattern or len(path.parts) <= len(head)):
            return True
    return False
