"""From what a user gives (a folder, a table, a dataset, a list, `builtin:NAME`) to a checked table of examples.

Nothing of `datasets` but its tables is used: its readers turn "01" into 1 and "NA" into nothing, and its audio needs
a library that torchaudio's last release does not bring.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

from mmtransfer.config import told
from mmtransfer.data import (
    arrow,
    builtin,
    cells,
    delimited,
    encodings,
    folders,
    jsonlines,
    labels,
    records,
    segments,
    wellformed,
)
from mmtransfer.data.checks import Draft, finish
from mmtransfer.data.columns import ROLES, Columns, choose
from mmtransfer.data.records import Records
from mmtransfer.data.table import File, Modality, Table
from mmtransfer.errors import MMTransferError

__all__ = ["Columns", "File", "Modality", "Table", "load", "refuse_missing"]
logger = logging.getLogger("mmtransfer")
TABLES = delimited.SUFFIXES | jsonlines.SUFFIXES | arrow.SUFFIXES


def load(
    source: Any,
    modality: Modality,
    columns: Columns = Columns(),  # noqa: B008  # frozen
    skip_bad: bool = False,
    option: str = "--train",
    labelled: bool = True,
    split: str = "train",
    max_seconds: float | None = None,
) -> Table:
    """The examples of a source, each one looked at.

    `source`: a table, which is a CSV or TSV (`delimited.read`), JSON (`jsonlines.read`) or Parquet file (`arrow.read`):
    text and label; a file column, relative to the table, or the bytes, and label or transcript. A folder: one with
    metadata.csv, .tsv, .jsonl or .parquet; of images with a folder for each class; of recordings with a .txt beside
    each; what `save_to_disk` of datasets wrote. `hub:ORG/NAME[:CONFIG[:SPLIT]]`; `builtin:NAME`. Without labels also a
    folder of files, one file, a .txt with a sentence a line. In Python a `datasets.Dataset` or DatasetDict, a list of
    dicts, of pairs (input, label), or without labels of inputs: texts, pairs of texts, paths, PIL images, uint8 arrays
    (height, width, 3); recordings as (samples, rate) or {"array": samples, "sampling_rate": rate} with a float array,
    or as that array alone, which is taken at `columns.rate`.
    `columns`: the user's choice of columns; `skip_bad`: leave bad examples out instead of stopping; `option`: what the
    source is called in messages; `labelled`: whether answers are needed; if not, they are not read; `split`: which
    part of a source that has several is taken; `max_seconds`: length from which a recording with a transcript is bad.

    Raises MMTransferError for a source that is not there, holds nothing, or holds bad examples.
    """
    if isinstance(source, str) and source.startswith(builtin.PREFIX):
        return _builtin(source, modality, columns, option, split)
    name = str(told(source))
    where = f"{option} {name}"
    # what is trained on needs its groups, a test set from elsewhere may have none
    columns = dataclasses.replace(columns, group_needed=split == "train")
    if isinstance(source, str) and source.startswith(arrow.PREFIX):
        found = arrow.from_hub(source, split, not labelled, where)
        draft = _from_records(found, modality, columns, labelled, where, None)
    elif isinstance(source, str | Path):
        refuse_missing(source, option, labelled)
        draft = _from_path(Path(source), modality, columns, labelled, where, split)
    elif isinstance(source, datasets.Dataset | datasets.DatasetDict):
        found = arrow.from_dataset(arrow.part(source, split, not labelled, where), where)
        draft = _from_records(found, modality, columns, labelled, where, None)
    elif isinstance(source, list | tuple):
        draft = _from_list(source, modality, columns, labelled, where)
    else:
        raise MMTransferError(
            f"Data cannot be a {type(source).__name__}",
            option,
            "give a path, hub:NAME, builtin:NAME, a datasets.Dataset, or a list of rows",
        )
    if columns.group is not None and columns.group_needed and draft.speakers is None:
        raise MMTransferError(
            "Class folders and pairs have no columns, so no groups",
            f"--group-column {columns.group} of {where}",
            "give a table, or a folder with metadata.csv",
        )
    if draft.answers is not None:
        draft.kind, (draft.answers, bad) = columns.kind, labels.read(draft.answers, columns.kind, columns.separator)
        draft.bad = bad | draft.bad
    wellformed.screen(draft)
    return finish(draft, modality, name, option, skip_bad, labelled, max_seconds if labelled else None)


def refuse_missing(source: Any, option: str, labelled: bool = True) -> None:
    """Raises MMTransferError for a path where there is nothing; other sources pass. The rest is as in `load`."""
    if not isinstance(source, str | Path) or str(source).startswith((builtin.PREFIX, arrow.PREFIX)):
        return
    path = Path(source)
    reason = wellformed.fault(str(source))
    if reason is not None:
        where = f"{option} {wellformed.escaped(str(source))}"
        raise MMTransferError(f"The path {reason}: no record of a run can name it", where, "rename it")
    if os.path.exists(path):  # Path.exists raises for a name that is too long
        return
    hint = "check the path" if labelled else "check the path; texts go into a .txt, one a line, in Python into a list"
    if len(path.parts) == 2 and not path.suffix and not path.parent.exists():
        hint += f"; a dataset on the hub is {arrow.PREFIX}{path.as_posix()}"
    raise MMTransferError("No such file or folder", f"{option} {source}", hint)


def _builtin(source: str, modality: Modality, columns: Columns, option: str, split: str) -> Table:
    tables = builtin.load(source.removeprefix(builtin.PREFIX), modality)
    if split not in tables:
        raise MMTransferError(
            f"{source} has no {split} part, only {' and '.join(tables)}",
            option,
            f"leave {option} out: it is cut from the training data",
        )
    table = tables[split]
    if columns.kind == "label":
        return table
    answers, bad = labels.read(table.column("label"), columns.kind, columns.separator)
    if bad:
        raise MMTransferError(
            f"{len(bad)} of {len(table)} labels of {source} cannot be used: {bad[min(bad)]}",
            option,
            "leave --target out, or give data of your own",
        )
    return table.relabelled(columns.kind, answers)


def _from_path(path: Path, modality: Modality, columns: Columns, labelled: bool, where: str, split: str) -> Draft:
    path = Path(os.path.abspath(path))
    if path.is_dir():
        if arrow.is_saved(path):
            found = arrow.saved(path, split, not labelled, where)
            return _from_records(found, modality, columns, labelled, where, path)
        metadata = folders.metadata(path)
        if metadata is None:
            return folders.read(path, modality, labelled, where)
        path, where = metadata, f"{where}/{metadata.name}"
    if path.suffix.lower() in TABLES:
        return _from_records(_records(path, columns, where), modality, columns, labelled, where, path.parent)
    if labelled:
        readable = "a table" if modality == "text" else "a folder or a table"
        raise MMTransferError(
            f"{modality} data with answers is {readable}, not a {path.suffix or 'plain'} file",
            where,
            f"give {readable} ({' '.join(sorted(TABLES))})",
        )
    if modality == "text" and columns.paired:
        raise MMTransferError("A file of lines has no second texts", where, "give a table with both columns")
    return _from_lines(path, where) if modality == "text" else folders.files([path], path.parent)


def _records(path: Path, columns: Columns, where: str) -> Records:
    kind = path.suffix.lower()
    if kind in arrow.SUFFIXES:
        return arrow.read(path, where)
    return jsonlines.read(path, where) if kind in jsonlines.SUFFIXES else delimited.read(path, where, columns.named)


def _from_lines(path: Path, where: str) -> Draft:
    """A sentence a line, ended by \\n, \\r\\n or \\r; blank lines are left out, ids are line numbers from 0."""
    # not splitlines: a sentence may hold a form feed, or one of Unicode's own line separators
    lines = re.split(r"\r\n|\n|\r", encodings.read(path, where))
    kept = [number for number, line in enumerate(lines) if line.strip()]
    if not kept:
        raise MMTransferError("The file is empty", where, "give a sentence a line")
    return Draft([str(n) for n in kept], [f"line {n + 1}" for n in kept], [lines[n] for n in kept])


def _from_list(rows: Sequence[Any], modality: Modality, columns: Columns, labelled: bool, where: str) -> Draft:
    if not rows:
        raise MMTransferError("The list is empty", where, "give at least one row")
    if all(isinstance(row, dict) for row in rows):
        if modality == "speech":
            rows = [cells.nested(row, columns.file or "audio") for row in rows]
        return _from_records(records.from_dicts(rows), modality, columns, labelled, where, None)
    if labelled and _are_columns(rows):
        raise MMTransferError(
            f"Data are rows (input, answer), not two columns, here of {len(rows[0])} and {len(rows[1])}",
            where,
            "give list(zip(inputs, answers, strict=True))",
        )
    bad: dict[int, str] = {}
    inputs: list[Any] = list(rows)
    answers: list[Any] = [None] * len(rows)
    for number, row in enumerate(rows if labelled else ()):
        if isinstance(row, list | tuple) and len(row) == 2:
            inputs[number], answers[number] = row
            if modality == "speech" and isinstance(row[0], cells.ARRAY) and not isinstance(row[1], str):
                bad[number] = "there is no transcript: give ((samples, rate), transcript)"
        else:
            inputs[number], bad[number] = None, f"not a pair (input, answer) nor a dict, but a {type(row).__name__}"
    pairs = _seconds(inputs, bad) if modality == "text" and _paired(inputs, columns) else None
    ids = [str(number) for number in range(len(rows))]
    places = [f"row {name}" for name in ids]
    found = answers if labelled else None
    return _draft(ids, places, inputs, pairs, found, None, modality, None, bad, columns.rate)


def _are_columns(rows: Sequence[Any]) -> bool:
    """Whether (inputs, answers) came side by side, and not row by row; of two rows of two values nobody can tell."""
    if len(rows) != 2 or any(isinstance(one, str | bytes | dict) or not hasattr(one, "__len__") for one in rows):
        return False
    return all(getattr(one, "ndim", 1) > 0 and len(one) != 2 for one in rows) and getattr(rows[1], "ndim", 1) == 1


def _paired(inputs: Sequence[Any], columns: Columns) -> bool:
    return any(isinstance(value, list | tuple) for value in inputs) if columns.paired is None else columns.paired


def _seconds(inputs: list[Any], bad: dict[int, str]) -> list[Any]:
    """Takes pairs of texts apart: the first ones stay in `inputs`, the second ones are returned."""
    seconds: list[Any] = [None] * len(inputs)
    for number, value in enumerate(inputs):
        if isinstance(value, list | tuple) and len(value) == 2:
            inputs[number], seconds[number] = value
        else:
            bad.setdefault(number, f"not a pair of texts, but a {type(value).__name__}")
    return seconds


def _from_records(
    table: Records, modality: Modality, columns: Columns, labelled: bool, where: str, base: Path | None
) -> Draft:
    """`base`: the folder of the table, to which file names are relative; None: rows given in Python."""
    if table.headless:
        columns = _headless(table, columns, modality, where)
    chosen = choose(table.header, table.wordy, columns, modality, labelled, where)
    source, answer = ROLES[modality]
    inputs = table.column(chosen[source])
    answers = table.column(chosen[answer]) if answer in chosen else None
    pairs = table.column(chosen["pair"]) if "pair" in chosen else None
    speakers, bad = labels.groups(table.column(chosen["group"])) if "group" in chosen else (None, {})
    ids, places = [str(number) for number in range(len(inputs))], table.places
    if modality != "text":
        names = [_name(value) for value in inputs]
        if base is not None:
            places = [f"{name or 'a file'}, {place}" for name, place in zip(names, places, strict=True)]
            ids = [_relative(name, base) if name else number for name, number in zip(names, ids, strict=True)]
    draft = _draft(ids, places, inputs, pairs, answers, speakers, modality, base, bad | table.bad, columns.rate)
    if modality == "speech":
        segments.mark(draft, table, where)
    return draft


def _headless(table: Records, columns: Columns, modality: Modality, where: str) -> Columns:
    """Columns of a file with two and no header: the input is the one with file names, or of texts the one with words;
    where that is true of both or none, the first."""
    source, answer = ROLES[modality]
    if len(table.header) != 2 or getattr(columns, source) or getattr(columns, answer):
        return columns
    likely = table.wordy
    if modality != "text":
        suffixes = folders.SUFFIXES[modality]
        likely = [name for name in table.header if Path(table.column(name)[0]).suffix.lower() in suffixes]
    first = likely[0] if len(likely) == 1 else table.header[0]
    second = next(name for name in table.header if name != first)
    logger.info("columns of %s: %s %r, %s %r", where, source, first, answer, second)
    chosen: dict[str, Any] = {source: first, answer: second}
    return dataclasses.replace(columns, **chosen)


def _draft(
    ids: list[str],
    places: list[str],
    values: Sequence[Any],
    pairs: Sequence[Any] | None,
    answers: list[Any] | None,
    speakers: list[str | None] | None,
    modality: Modality,
    base: Path | None,
    bad: dict[int, str],
    rate: int,
) -> Draft:
    def inputs(values: Sequence[Any]) -> list[Any]:
        found = [cells.EMPTY[modality]] * len(values)
        for number, value in enumerate(values):
            if number not in bad:
                try:
                    found[number] = cells.read(value, modality, base or Path(), rate)
                except ValueError as error:
                    bad[number] = str(error)
        return found

    if modality == "speech":
        cells.warn_unrated(values, rate)
    return Draft(ids, places, inputs(values), answers, speakers, bad, inputs(pairs) if pairs is not None else None)


def _name(value: Any) -> str:
    """The file name of a cell; empty if it holds something else."""
    if isinstance(value, dict) and value.get("bytes") is None and value.get("array") is None:
        value = value.get("path")
    return str(value) if isinstance(value, str | Path) and str(value).strip() else ""


def _relative(name: str, base: Path) -> str:
    path = Path(os.path.abspath(base / name))
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
