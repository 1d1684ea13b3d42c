"""Folders of files: a folder for each class, recordings with a .txt beside each, or files without answers."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from mmtransfer.data import encodings
from mmtransfer.data.checks import Draft
from mmtransfer.data.file import File
from mmtransfer.data.kinds import AnswerKind, InputKind
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
"""Tables that may lie in a folder and say what its files are, the first one that is there."""
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test"}


def find_metadata(folder: Path) -> Path | None:
    """The table in a folder that says what its files are, None if there is none."""
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def read_folder(folder: Path, kind: InputKind, answer: AnswerKind, labelled: bool, where: str) -> Draft:
    """The files of a folder without a metadata table, with the answers that their class folders or the .txt beside them
    give.

    Raises MMTransferError for inputs that are no files, and for a folder that holds none or no answers.
    """
    if not kind.in_files:
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
        raise MMTransferError("Text is read from a table, not from a folder", where, f"name the file; there is {there}")
    found = _walk(folder, kind.suffixes, where)
    if not found:
        known = " ".join(sorted(kind.suffixes))
        raise MMTransferError(f"The folder holds no {kind.name} files", where, f"give a folder with files of {known}")
    if not labelled:
        return files(found, folder)
    return _beside(found, folder, where) if answer.beside else _classes(found, folder, kind, where)


def files(names: Sequence[str], folder: Path) -> Draft:
    """Files without answers; ids are their names: POSIX paths relative to the folder."""
    inputs: list[File] = [{"path": os.path.join(folder, *name.split("/")), "bytes": None} for name in names]
    return Draft(list(names), list(names), inputs)


def _classes(found: Sequence[str], folder: Path, kind: InputKind, where: str) -> Draft:
    inside = [name for name in found if "/" in name]
    classes = sorted({name.split("/", 1)[0] for name in inside})
    if len(classes) < 1:
        raise MMTransferError(
            "The folder has no class folders", where, f"put {kind.called} into FOLDER/CLASS/, or write {METADATA[0]}"
        )
    if {name.lower() for name in classes} <= _SPLITS:
        raise MMTransferError(
            f"The folders {', '.join(classes)} are splits, not classes",
            where,
            f"give one of them, such as {where}/{classes[0]}",
        )
    empty = sorted(
        entry.name for entry in folder.iterdir() if _visible(entry) and entry.is_dir() and entry.name not in classes
    )
    if empty:
        logger.warning("%s: no %s in the folders %s", where, kind.called, ", ".join(empty))
    if len(inside) < len(found):
        logger.warning("%s: %d %s outside of class folders are not used", where, len(found) - len(inside), kind.called)
    draft = files(inside, folder)
    draft.answers = [name.split("/")[0] for name in draft.ids]
    return draft


def _beside(found: Sequence[str], folder: Path, where: str) -> Draft:
    """`clip.wav` with its transcript in `clip.txt`; a line break counts as a space."""
    beside = [(folder / name).with_suffix(".txt") for name in found]
    if not any(file.is_file() for file in beside):
        raise MMTransferError(
            f"The folder has no {METADATA[0]}",
            where,
            "write one with the columns file_name,text, or put the transcript of each clip.wav into clip.txt beside it",
        )
    draft = files(found, folder)
    draft.answers = [""] * len(found)
    used: Counter[str] = Counter()
    for number, file in enumerate(beside):
        try:
            text, name = encodings.decode(file.read_bytes())
        except FileNotFoundError:
            draft.bad[number] = f"there is no {file.name} beside it"
        except (OSError, ValueError) as error:
            draft.bad[number] = f"{file.name} holds no text ({error})"
        else:
            used[name] += 1
            draft.answers[number] = " ".join(text.split())
    guessed = ", ".join(f"{count} as {name}" for name, count in used.items() if name in ("cp1252", "latin-1"))
    if guessed:
        logger.warning("%s: transcripts that are not UTF-8 were read %s, check that accents are right", where, guessed)
    return draft


def _walk(folder: Path, suffixes: frozenset[str], where: str) -> list[str]:
    """The files below a folder with one of these suffixes, hidden ones left out: POSIX paths relative to it, sorted by
    their parts.

    A folder is read once, however many links lead to it, so that loops end: under its own path if that is below
    `folder`, else under the first link to it, the least deep one first. A file that is linked twice counts twice.
    Raises MMTransferError for a folder that cannot be read.
    """
    files: list[str] = []
    read: dict[tuple[int, int], str] = {}
    again: list[tuple[str, str]] = []
    starts = deque([folder])
    while starts:
        links: list[Path] = []
        for place, inner, names in os.walk(starts.popleft(), onerror=partial(_unreadable, where)):
            status = os.stat(place)
            first = read.setdefault((status.st_dev, status.st_ino), place)
            if first != place:
                again.append((place, first))
                inner.clear()
                continue
            inner[:] = [name for name in inner if not name.startswith(".")]
            links += [path for name in inner if (path := Path(place, name)).is_symlink()]
            # names, and not paths: of a hundred thousand these would take longer than reading the folder
            above = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
            fitting = (name for name in names if os.path.splitext(name)[1].lower() in suffixes)
            files += [f"{above}{name}" for name in fitting if not name.startswith(".")]
        starts.extend(sorted(links))
    if again:
        place, first = (os.path.relpath(path, folder) for path in again[0])
        more = f", and {len(again) - 1} more links" if len(again) > 1 else ""
        logger.warning("%s: %s is the same folder as %s and is not read again%s", where, place, first, more)
    return sorted(files, key=lambda name: name.split("/"))


def _unreadable(where: str, error: OSError) -> NoReturn:
    raise MMTransferError(
        f"Cannot read a folder ({error.strerror})", f"{where}: {error.filename}", "check its permissions, or move it"
    ) from None


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")
