"""From what a user gives (a folder, a table, a dataset, a list, `builtin:NAME`) to a checked table of examples.

Nothing of `datasets` but its tables is used: its readers turn "01" into 1 and "NA" into nothing, and its audio needs
a library that torchaudio's last release does not bring.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from mmtransfer.config import told
from mmtransfer.data import (
    arrow,
    builtin,
    conll,
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
from mmtransfer.data.columns import GROUP, PAIR, Columns, choose
from mmtransfer.data.file import File
from mmtransfer.data.kinds import INPUTS, AnswerKind, InputKind
from mmtransfer.data.reading import Reading
from mmtransfer.data.records import Records
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

__all__ = ["Columns", "File", "Table", "load", "refuse_missing"]
logger = logging.getLogger("mmtransfer")
READERS: Mapping[str, Callable[[Path, str, Columns, Reading | None], Records]] = {
    **dict.fromkeys(delimited.SUFFIXES, lambda path, where, columns, _: delimited.read_csv(path, where, columns.named)),
    **dict.fromkeys(jsonlines.SUFFIXES, lambda path, where, *_: jsonlines.read_json(path, where)),
    **dict.fromkeys(arrow.SUFFIXES, lambda path, where, columns, reading: arrow.read_parquet(path, where, reading)),
    **dict.fromkeys(conll.SUFFIXES, lambda path, where, *_: conll.read_conll(path, where)),
}
"""By suffix, what reads a table."""


def load(
    source: Any,
    input: str,
    columns: Columns = Columns(),  # noqa: B008  # frozen
    skip_bad: bool = False,
    option: str = "--train",
    labelled: bool = True,
    split: str = "train",
    max_seconds: float | None = None,
    reading: Reading | None = None,
) -> Table:
    """The examples of a source, each one looked at.

    `source`: a table, which is a CSV or TSV (`delimited.read_csv`), JSON (`jsonlines.read_json`), Parquet
    (`arrow.read_parquet`) or, of words and tags, CoNLL file (`conll.read_conll`): text and label; a file column,
    relative to the table, or the bytes, and label or transcript. A folder: one with metadata.csv, .tsv, .jsonl or
    .parquet; of files with a folder for each class, or with a .txt that has the transcript beside each; what
    `save_to_disk` of datasets wrote.
    `hub:ORG/NAME[:CONFIG[:SPLIT]]`; `builtin:NAME`. Without labels also a folder of files, one file, a .txt with a
    sentence a line. In Python a `datasets.Dataset` or DatasetDict, a list of dicts, of pairs (input, label), or without
    labels of inputs: texts, pairs of texts, lists of words, paths, PIL images, uint8 arrays (height, width, 3);
    recordings as (samples, rate) or {"array": samples, "sampling_rate": rate} with a float array, or as that array
    alone, which is taken at `columns.rate`.
    `input`: the kind of the inputs, of `kinds.INPUTS`; `columns`: the user's choice of columns, and the kind of the
    answers; `skip_bad`: leave bad examples out instead of stopping; `option`: what the
    source is called in messages; `labelled`: whether answers are needed; if not, they are not read; `split`: which
    part of a source that has several is taken; `max_seconds`: length from which a recording with a transcript is bad;
    `reading`: where what files hold is remembered, without which they are checked only.

    Raises MMTransferError for a source that is not there, holds nothing, or holds bad examples.
    """
    kind = INPUTS[input]
    answer = columns.answer(kind)
    if isinstance(source, str) and source.startswith(builtin.PREFIX):
        return _builtin(source, kind, columns, option, split)
    name = str(told(source))
    where = f"{option} {name}"
    # what is trained on needs its groups, a test set from elsewhere may have none
    columns = dataclasses.replace(columns, group_needed=split == "train")
    draft = _read_draft(source, kind, columns, option, labelled, split, reading)
    if columns.group is not None and columns.group_needed and draft.groups is None:
        raise MMTransferError(
            "Class folders and pairs have no columns, so no groups",
            f"--group-column {columns.group} of {where}",
            "give a table, or a folder with metadata.csv",
        )
    if draft.answers is not None:
        draft.kind, (draft.answers, bad) = answer.name, answer.read_answers(draft.answers, columns.separator)
        draft.bad = bad | draft.bad
    wellformed.screen(draft)
    return finish(draft, input, name, option, skip_bad, labelled, max_seconds if labelled else None, reading)


def _read_draft(
    source: Any, kind: InputKind, columns: Columns, option: str, labelled: bool, split: str, reading: Reading | None
) -> Draft:
    """The examples of a source that is no built-in one, before anybody has looked at them."""
    where = f"{option} {told(source)}"
    if isinstance(source, str) and source.startswith(arrow.PREFIX):
        found = arrow.from_hub(source, split, not labelled, where)
        return _from_records(found, kind, columns, labelled, where, None)
    if isinstance(source, str | Path):
        refuse_missing(source, option, labelled)
        return _from_path(Path(source), kind, columns, labelled, where, split, reading)
    if isinstance(source, datasets.Dataset | datasets.DatasetDict):
        found = arrow.from_dataset(arrow.part(source, split, not labelled, where), where)
        return _from_records(found, kind, columns, labelled, where, None)
    if isinstance(source, list | tuple):
        return _from_list(source, kind, columns, labelled, where)
    raise MMTransferError(
        f"Data cannot be a {type(source).__name__}",
        option,
        "give a path, hub:NAME, builtin:NAME, a datasets.Dataset, or a list of rows",
    )


def refuse_missing(source: Any, option: str, labelled: bool = True) -> None:
    """Raises MMTransferError for a path where there is nothing; other sources pass. The rest is as in `load`."""
    if not isinstance(source, str | Path) or str(source).startswith((builtin.PREFIX, arrow.PREFIX)):
        return
    if not str(source).strip():
        raise MMTransferError("The path is empty", f'{option} ""', "give the path of the data")
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


def _builtin(source: str, kind: InputKind, columns: Columns, option: str, split: str) -> Table:
    answer = columns.answer(kind)
    tables = builtin.load_builtin(source.removeprefix(builtin.PREFIX), kind.name, answer.name)
    if split not in tables:
        raise MMTransferError(
            f"{source} has no {split} part, only {' and '.join(tables)}",
            option,
            f"leave {option} out: it is cut from the training data",
        )
    table = tables[split]
    if table.answer is None or table.answer.name == answer.name:
        return table
    answers, bad = answer.read_answers(table.answers or (), columns.separator)
    if bad:
        raise MMTransferError(
            f"{len(bad)} of {len(table)} labels of {source} cannot be used: {bad[min(bad)]}",
            option,
            "leave --target out, or give data of your own",
        )
    return table.answered(answer.name, answers)


def _from_path(
    path: Path,
    kind: InputKind,
    columns: Columns,
    labelled: bool,
    where: str,
    split: str,
    reading: Reading | None,
) -> Draft:
    path = Path(os.path.abspath(path))
    if path.is_dir():
        if arrow.is_saved(path):
            found = arrow.saved(path, split, not labelled, where)
            return _from_records(found, kind, columns, labelled, where, path)
        metadata = folders.find_metadata(path)
        if metadata is None:
            return folders.read_folder(path, kind, columns.answer(kind), labelled, where)
        path, where = metadata, f"{where}/{metadata.name}"
    reader = READERS.get(path.suffix.lower())
    if reader is not None:
        return _from_records(reader(path, where, columns, reading), kind, columns, labelled, where, path.parent)
    if labelled:
        readable = "a folder or a table" if kind.in_files else "a table"
        raise MMTransferError(
            f"{kind.name} data with answers is {readable}, not a {path.suffix or 'plain'} file",
            where,
            f"give {readable} ({' '.join(sorted(READERS))})",
        )
    if kind.in_files:
        return folders.files([path.name], path.parent)
    if columns.paired:
        raise MMTransferError("A file of lines has no second texts", where, "give a table with both columns")
    return _from_lines(path, kind, where)


def _from_lines(path: Path, kind: InputKind, where: str) -> Draft:
    """A sentence a line, ended by \\n, \\r\\n or \\r; blank lines are left out, ids are line numbers from 0."""
    # not splitlines: a sentence may hold a form feed, or one of Unicode's own line separators
    lines = re.split(r"\r\n|\n|\r", encodings.read_text(path, where))
    kept = [number for number, line in enumerate(lines) if line.strip()]
    if not kept:
        raise MMTransferError("The file is empty", where, "give a sentence a line")
    return Draft([str(n) for n in kept], [f"line {n + 1}" for n in kept], [kind.line(lines[n]) for n in kept])


def _from_list(rows: Sequence[Any], kind: InputKind, columns: Columns, labelled: bool, where: str) -> Draft:
    if not rows:
        raise MMTransferError("The list is empty", where, "give at least one row")
    if all(isinstance(row, dict) for row in rows):
        rows = [kind.gather(row, getattr(columns, kind.role)) for row in rows]
        return _from_records(records.from_dicts(rows), kind, columns, labelled, where, None)
    if labelled and _are_columns(rows):
        raise MMTransferError(
            f"Data are rows (input, answer), not two columns, here of {len(rows[0])} and {len(rows[1])}",
            where,
            "give list(zip(inputs, answers, strict=True))",
        )
    bad: dict[int, str] = {}
    inputs, answers = _parted(rows, columns.answer(kind), bad) if labelled else (list(rows), None)
    pairs = _seconds(inputs, bad) if kind.pairs and _paired(inputs, columns) else None
    ids = [str(number) for number in range(len(rows))]
    places = [f"row {name}" for name in ids]
    return _draft(Draft(ids, places, inputs, answers, None, bad, pairs), kind, None, columns.rate)


def _parted(rows: Sequence[Any], answer: AnswerKind, bad: dict[int, str]) -> tuple[list[Any], list[Any]]:
    """Inputs and answers of rows (input, answer); what is none goes into `bad`."""
    inputs: list[Any] = [None] * len(rows)
    answers: list[Any] = [None] * len(rows)
    for number, row in enumerate(rows):
        if isinstance(row, list | tuple) and len(row) == 2:
            inputs[number], answers[number] = row
            reason = answer.misplaced(*row)
            if reason is not None:
                bad[number] = reason
        else:
            bad[number] = f"not a pair (input, answer) nor a dict, but a {type(row).__name__}"
    return inputs, answers


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
    table: Records, kind: InputKind, columns: Columns, labelled: bool, where: str, base: Path | None
) -> Draft:
    """`base`: the folder of the table, to which file names are relative; None: rows given in Python."""
    answer = columns.answer(kind)
    if table.headless:
        columns = _headless(table, columns, kind, where)
    chosen = choose(table.header, table.wordy, columns, kind, labelled, where)
    values = table.files if kind.in_files and table.files is not None else table.column
    inputs = values(chosen[kind.role])
    answers = table.column(chosen[answer.role]) if answer.role in chosen else None
    pairs = table.column(chosen[PAIR]) if PAIR in chosen else None
    groups, bad = labels.read_groups(table.column(chosen[GROUP])) if GROUP in chosen else (None, {})
    ids, places = [str(number) for number in range(len(inputs))], table.places
    if kind.in_files:
        names = [_name(value) for value in inputs]
        if base is not None:
            places = [f"{name or 'a file'}, {place}" for name, place in zip(names, places, strict=True)]
            ids = [_relative(name, base) if name else number for name, number in zip(names, ids, strict=True)]
    draft = Draft(ids, places, inputs, answers, groups, bad | table.bad, pairs)
    draft = _draft(draft, kind, base, columns.rate)
    if kind.segments:
        segments.mark(draft, table, where)
    return draft


def _headless(table: Records, columns: Columns, kind: InputKind, where: str) -> Columns:
    """Columns of a file with two and no header: the input is the one with file names, or of texts the one with words;
    where that is true of both or none, the first."""
    answer = columns.answer(kind)
    if len(table.header) != 2 or getattr(columns, kind.role) or getattr(columns, answer.role):
        return columns
    likely = table.wordy
    if kind.in_files:
        likely = [name for name in table.header if Path(table.column(name)[0]).suffix.lower() in kind.suffixes]
    first = likely[0] if len(likely) == 1 else table.header[0]
    second = next(name for name in table.header if name != first)
    logger.info("columns of %s: %s %r, %s %r", where, kind.role, first, answer.role, second)
    chosen: dict[str, Any] = {kind.role: first, answer.role: second}
    return dataclasses.replace(columns, **chosen)


def _draft(draft: Draft, kind: InputKind, base: Path | None, rate: int) -> Draft:
    """The draft with its inputs, and second ones, as a table holds them; `bad` gets those that cannot be read."""

    def read(values: Sequence[Any]) -> list[Any]:
        inputs = [kind.empty] * len(values)
        for number, value in enumerate(values):
            if number not in draft.bad:
                try:
                    inputs[number] = kind.read_input(value, base or Path(), rate)
                except ValueError as error:
                    draft.bad[number] = str(error)
        return inputs

    kind.tell(draft.inputs, rate)
    draft.inputs = read(draft.inputs)
    draft.pairs = read(draft.pairs) if draft.pairs is not None else None
    return draft


def _name(value: Any) -> str:
    """The file name of a cell; empty if it holds something else."""
    if isinstance(value, dict) and value.get("bytes") is None and value.get("array") is None:
        value = value.get("path")
    return str(value) if isinstance(value, str | Path) and str(value).strip() else ""


def _relative(name: str, base: Path) -> str:
    path = Path(os.path.abspath(base / name))
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
