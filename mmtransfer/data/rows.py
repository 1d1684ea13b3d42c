"""Rows, of a table or given in Python, as a draft: inputs, answers, what names each, and what is wrong with some."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmtransfer.data import encodings, labels, records, segments
from mmtransfer.data.checks import Draft
from mmtransfer.data.columns import GROUP, PAIR, Columns, choose
from mmtransfer.data.kinds import AnswerKind, InputKind
from mmtransfer.data.records import Records
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a source.

    `labelled`: whether answers are needed; `where`: what the source is called in messages.
    """

    kind: InputKind
    columns: Columns
    labelled: bool
    where: str

    @property
    def answer(self) -> AnswerKind:
        return self.columns.answer(self.kind)


def from_lines(path: Path, asked: Request) -> Draft:
    """A sentence a line, ended by \\n, \\r\\n or \\r; blank lines are left out, ids are line numbers from 0."""
    # not splitlines: a sentence may hold a form feed, or one of Unicode's own line separators
    lines = re.split(r"\r\n|\n|\r", encodings.read_text(path, asked.where))
    kept = [number for number, line in enumerate(lines) if line.strip()]
    if not kept:
        raise MMTransferError("The file is empty", asked.where, "give a sentence a line")
    return Draft([str(n) for n in kept], [f"line {n + 1}" for n in kept], [asked.kind.line(lines[n]) for n in kept])


def from_list(rows: Sequence[Any], asked: Request) -> Draft:
    """Rows given in Python: dicts, pairs (input, answer), or without labels inputs."""
    kind, columns = asked.kind, asked.columns
    if not rows:
        raise MMTransferError("The list is empty", asked.where, "give at least one row")
    if all(isinstance(row, dict) for row in rows):
        rows = [kind.gather(row, getattr(columns, kind.role)) for row in rows]
        return from_records(records.from_dicts(rows), asked)
    if asked.labelled and _are_columns(rows):
        raise MMTransferError(
            f"Data are rows (input, answer), not two columns, here of {len(rows[0])} and {len(rows[1])}",
            asked.where,
            "give list(zip(inputs, answers, strict=True))",
        )
    bad: dict[int, str] = {}
    inputs, answers = _parted(rows, asked.answer, bad) if asked.labelled else (list(rows), None)
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


def from_records(table: Records, asked: Request, base: Path | None = None) -> Draft:
    """`base`: the folder of the table, to which file names are relative; None: rows given in Python."""
    kind, answer = asked.kind, asked.answer
    columns = _headless(table, asked) if table.headless else asked.columns
    chosen = choose(table.header, table.wordy, columns, kind, asked.labelled, asked.where)
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
        segments.mark(draft, table, asked.where)
    return draft


def _headless(table: Records, asked: Request) -> Columns:
    """Columns of a file with two and no header: the input is the one with file names, or of texts the one with words;
    where that is true of both or none, the first."""
    kind, answer, columns = asked.kind, asked.answer, asked.columns
    if len(table.header) != 2 or getattr(columns, kind.role) or getattr(columns, answer.role):
        return columns
    likely = table.wordy
    if kind.in_files:
        likely = [name for name in table.header if Path(table.column(name)[0]).suffix.lower() in kind.suffixes]
    first = likely[0] if len(likely) == 1 else table.header[0]
    second = next(name for name in table.header if name != first)
    logger.info("columns of %s: %s %r, %s %r", asked.where, kind.role, first, answer.role, second)
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
