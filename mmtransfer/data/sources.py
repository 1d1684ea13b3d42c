"""From what a user gives (a folder, a CSV, a list, `builtin:NAME`) to a checked table of examples.

Nothing of `datasets` but its table is used: its readers turn "01" into 1 and "NA" into nothing, and its audio needs
a library that torchaudio's last release does not bring.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmtransfer.data import audio, builtin, images, records
from mmtransfer.data.checks import Draft, finish
from mmtransfer.data.columns import ROLES, Columns, choose
from mmtransfer.data.records import Records
from mmtransfer.data.table import File, Modality, Table
from mmtransfer.errors import MMTransferError

__all__ = ["Columns", "File", "Modality", "Table", "load"]
logger = logging.getLogger("mmtransfer")
METADATA = "metadata.csv"
SUFFIXES: dict[Modality, frozenset[str]] = {"image": images.SUFFIXES, "text": frozenset(), "speech": audio.SUFFIXES}
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test"}
_EMPTY: dict[Modality, Any] = {
    "image": {"path": None, "bytes": None},
    "text": "",
    "speech": {"path": None, "bytes": None},
}


def load(
    source: str | Path | Sequence[Any],
    modality: Modality,
    columns: Columns = Columns(),  # noqa: B008  # frozen
    skip_bad: bool = False,
    option: str = "--train",
    labelled: bool = True,
    split: str = "train",
) -> Table:
    """The examples of a source, each one looked at.

    `source`: images: a folder with a folder for each class, a CSV with a file and a label column, a folder with
    metadata.csv; text: a CSV, without labels also a .txt with a sentence a line; speech: a folder with metadata.csv, or
    a CSV; images and speech without labels: also a folder of files, or one file. In Python a list of dicts, of pairs
    (input, label), or without labels of inputs: texts, paths, PIL images, uint8 arrays (height, width, 3), float arrays
    (samples,) at 16 kHz. `builtin:NAME`, whose `split` (train or test) is taken.
    `columns`: the user's choice of columns; `skip_bad`: leave bad examples out instead of stopping; `option`: what the
    source is called in messages; `labelled`: whether answers are needed; if not, they are not read.

    Raises MMTransferError for a source that is not there, holds nothing, or holds bad examples.
    """
    if isinstance(source, str) and source.startswith(builtin.PREFIX):
        return _builtin(source, modality, option, split)
    if isinstance(source, str | Path):
        name = str(source)
        draft = _from_path(Path(source), modality, columns, labelled, f"{option} {name}")
    elif isinstance(source, list | tuple):
        name = f"python:{len(source)} rows"
        draft = _from_list(source, modality, columns, labelled, f"{option} {name}")
    else:
        raise MMTransferError(
            f"Data cannot be a {type(source).__name__}", option, "give a path, builtin:NAME, or a list of rows"
        )
    return finish(draft, modality, name, option, skip_bad, labelled)


def _builtin(source: str, modality: Modality, option: str, split: str) -> Table:
    tables = builtin.load(source.removeprefix(builtin.PREFIX), modality)
    if split not in tables:
        raise MMTransferError(
            f"{source} has no {split} part, only {' and '.join(tables)}",
            option,
            f"leave {option} out: it is cut from the training data",
        )
    return tables[split]


def _from_path(path: Path, modality: Modality, columns: Columns, labelled: bool, where: str) -> Draft:
    if not path.exists():
        hint = "check the path" if labelled else "check the path; one text or array goes into a list"
        raise MMTransferError("No such file or folder", where, hint)
    path = Path(os.path.abspath(path))
    if path.is_dir():
        if (path / METADATA).is_file():
            return _from_csv(path / METADATA, modality, columns, labelled, f"{where}/{METADATA}")
        return _from_folder(path, modality, labelled, where)
    if path.suffix.lower() in records.SUFFIXES:
        return _from_csv(path, modality, columns, labelled, where)
    if labelled:
        readable = "a CSV" if modality == "text" else "a folder or a CSV"
        raise MMTransferError(
            f"{modality} data with answers is {readable}, not a {path.suffix or 'plain'} file",
            where,
            f"give {readable}",
        )
    if modality == "text":
        return _from_lines(path, where)
    return _from_files([path], path.parent)


def _from_csv(path: Path, modality: Modality, columns: Columns, labelled: bool, where: str) -> Draft:
    return _from_records(records.from_csv(path, where), modality, columns, labelled, where, path.parent)


def _from_lines(path: Path, where: str) -> Draft:
    """A sentence a line; blank lines are left out, ids are line numbers from 0."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MMTransferError(f"Cannot read UTF-8 text ({error})", where, "give a .txt in UTF-8, or a CSV") from None
    kept = [number for number, line in enumerate(lines) if line.strip()]
    if not kept:
        raise MMTransferError("The file is empty", where, "give a sentence a line")
    return Draft([str(n) for n in kept], [f"line {n + 1}" for n in kept], [lines[n] for n in kept])


def _from_folder(folder: Path, modality: Modality, labelled: bool, where: str) -> Draft:
    if modality == "text":
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
        raise MMTransferError("Text is read from a CSV, not from a folder", where, f"name the file; there is {there}")
    files = _walk(folder, SUFFIXES[modality])
    if not files:
        known = " ".join(sorted(SUFFIXES[modality]))
        raise MMTransferError(f"The folder holds no {modality} files", where, f"give a folder with files of {known}")
    if not labelled:
        return _from_files(files, folder)
    if modality == "speech":
        raise MMTransferError(f"The folder has no {METADATA}", where, "write one with the columns file_name,text")
    classes = sorted({file.relative_to(folder).parts[0] for file in files if file.parent != folder})
    if len(classes) < 1:
        raise MMTransferError(
            "The folder has no class folders", where, f"put images into FOLDER/CLASS/, or write {METADATA}"
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
        logger.warning("%s: no images in the folders %s", where, ", ".join(empty))
    loose = [file for file in files if file.parent == folder]
    if loose:
        logger.warning("%s: %d images outside of class folders are not used", where, len(loose))
    draft = _from_files([file for file in files if file.parent != folder], folder)
    draft.answers = [name.split("/")[0] for name in draft.ids]
    return draft


def _walk(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """The files below a folder with one of these suffixes, hidden ones left out, sorted by their parts."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if _visible(Path(name)) and Path(name).suffix.lower() in suffixes]
    return sorted(found, key=lambda path: path.parts)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _from_files(files: Sequence[Path], folder: Path) -> Draft:
    ids = [file.relative_to(folder).as_posix() for file in files]
    inputs: list[File] = [{"path": str(file), "bytes": None} for file in files]
    return Draft(ids, list(ids), inputs)


def _from_list(rows: Sequence[Any], modality: Modality, columns: Columns, labelled: bool, where: str) -> Draft:
    if not rows:
        raise MMTransferError("The list is empty", where, "give at least one row")
    if all(isinstance(row, dict) for row in rows):
        return _from_records(records.from_dicts(rows), modality, columns, labelled, where, None)
    bad: dict[int, str] = {}
    inputs, answers = list(rows), [""] * len(rows)
    for number, row in enumerate(rows if labelled else ()):
        if isinstance(row, list | tuple) and len(row) == 2:
            inputs[number], answers[number] = row[0], _string(row[1])
        else:
            inputs[number], bad[number] = None, f"not a pair (input, answer) nor a dict, but a {type(row).__name__}"
    ids = [str(number) for number in range(len(rows))]
    return _draft(
        ids, [f"row {name}" for name in ids], inputs, answers if labelled else None, None, modality, None, bad
    )


def _from_records(
    table: Records, modality: Modality, columns: Columns, labelled: bool, where: str, base: Path | None
) -> Draft:
    """`base`: the folder of the CSV, to which file names are relative; None: rows given in Python."""
    chosen = choose(table.header, table.wordy, columns, modality, labelled, where)
    source, answer = ROLES[modality]
    inputs = table.column(chosen[source])
    answers = [_string(value) for value in table.column(chosen[answer])] if answer in chosen else None
    speakers = [_string(value) or None for value in table.column(chosen["group"])] if "group" in chosen else None
    ids, places = [str(number) for number in range(len(inputs))], table.places
    if base is not None and modality != "text":
        places = [f"{name or 'a file'}, {place}" for name, place in zip(inputs, places, strict=True)]
        ids = [_relative(name, base) if name.strip() else number for name, number in zip(inputs, ids, strict=True)]
    return _draft(ids, places, inputs, answers, speakers, modality, base, dict(table.bad))


def _draft(
    ids: list[str],
    places: list[str],
    values: Sequence[Any],
    answers: list[str] | None,
    speakers: list[str | None] | None,
    modality: Modality,
    base: Path | None,
    bad: dict[int, str],
) -> Draft:
    inputs = [_EMPTY[modality]] * len(values)
    for number, value in enumerate(values):
        if number not in bad:
            try:
                inputs[number] = _input(value, modality, base or Path())
            except ValueError as error:
                bad[number] = str(error)
    return Draft(ids, places, inputs, answers, speakers, bad)


def _input(value: Any, modality: Modality, base: Path) -> str | File:
    """An input as its table holds it; ValueError says why it cannot be one."""
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
    if isinstance(value, Image.Image) and modality == "image":
        return images.from_pil(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return images.from_array(value) if modality == "image" else audio.from_array(value)
    raise ValueError(f"a {type(value).__name__} is no {modality} input: give a path, bytes or an array")


def _relative(name: str, base: Path) -> str:
    path = Path(os.path.abspath(base / name))
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _string(value: Any) -> str:
    """A label or transcript; missing (None, NaN) is the empty one."""
    return "" if value is None or value != value else str(value)
