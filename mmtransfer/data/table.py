"""A table of examples: rows in memory with standard columns, where they came from, and a fingerprint of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa

from mmtransfer.data import digests
from mmtransfer.data.columnar import Rows
from mmtransfer.data.kinds import ANSWERS, GROUPS, INPUTS, AnswerKind, InputKind
from mmtransfer.data.kinds.files import FileKind

THREADS = min(16, 4 + (os.cpu_count() or 1))
"""Threads that open files: reading and decoding both wait outside Python's lock."""


@dataclass(frozen=True, eq=False)
class Table:
    """Examples of one source.

    `rows`: columns `id`; one of `kinds.INPUTS`, and of pairs of texts `pair`, the second one; where they are known the
    answers, one of `kinds.ANSWERS`, and names of groups, one of `kinds.GROUPS`. Ids are unique: a file's POSIX path
    relative to its folder (of a segment with its times), or the number of the row, from 0.
    `source`: what the user gave, for messages and records.
    `skipped`: {"id", "reason"} of every example of the source that was left out.
    `digests`: uint8 (n, 2, 16), of each row what `digests.of` gives, where they have been taken; `extents`: int64
    (n, 2), of each recording or segment its samples and how many are a second, where they are known; `select` takes
    both along.
    """

    rows: Rows
    source: str
    skipped: tuple[dict[str, str], ...] = ()
    digests: np.ndarray | None = None
    extents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[str]:
        return self.column("id")

    def column(self, name: str) -> list[Any]:
        """All values of a column, as Python objects."""
        return self.rows.column(name)

    def select(self, indices: Iterable[int] | np.ndarray) -> Table:
        """These rows, in this order; what was skipped stays recorded."""
        numbers = np.asarray(list(indices), dtype=np.int64)
        taken = self.rows.table.take(pa.array(numbers))
        known, extents = (None if own is None else own[numbers] for own in (self.digests, self.extents))
        return replace(self, rows=Rows(taken), digests=known, extents=extents)

    def without(self, indices: Sequence[int], reasons: Sequence[str]) -> Table:
        """The table without these rows, which are recorded as skipped, a reason each."""
        ids, out = self.ids, set(indices)
        entries = tuple({"id": ids[i], "reason": reason} for i, reason in zip(indices, reasons, strict=True))
        kept = self.select([i for i in range(len(self)) if i not in out])
        return replace(kept, skipped=self.skipped + entries)

    def answered(self, kind: str, answers: Sequence[Any]) -> Table:
        """The table with these answers, of one of `kinds.ANSWERS`, instead of those it has."""
        kept = self.rows.table
        kept = kept.drop_columns([name for name in ANSWERS if name in kept.column_names])
        rows = Rows(kept.append_column(kind, pa.array(answers, ANSWERS[kind].arrow)))
        return replace(self, rows=rows, digests=None)

    def digested(self, advance: Callable[[int], None] = lambda done: None) -> Table:
        """The table with the digests of its rows, for which every file is read once; `advance`: as in `digests.of`."""
        if self.digests is not None:
            return self
        return replace(self, digests=digests.of(self.rows.table, THREADS, advance))

    def measured(self) -> np.ndarray:
        """`extents`, for which the header of every recording is read where they are not known."""
        if self.extents is not None:
            return self.extents
        with ThreadPoolExecutor(THREADS) as threads:
            extents = list(threads.map(cast(FileKind, self.input).extent, self.column(self.input.name)))
        return np.array(extents, np.int64).reshape(-1, 2)

    @property
    def input(self) -> InputKind:
        """What kind of column a model sees."""
        return next(kind for name, kind in INPUTS.items() if name in self.rows.column_names)

    @property
    def answer(self) -> AnswerKind | None:
        """What kind of answers there are; None where there are none."""
        return next((kind for name, kind in ANSWERS.items() if name in self.rows.column_names), None)

    @property
    def answers(self) -> list[Any] | None:
        """The answers; None where there are none."""
        return None if self.answer is None else self.column(self.answer.name)

    @property
    def groups(self) -> list[str | None] | None:
        """The group of each example; None where none are known."""
        return next((self.column(name) for name in GROUPS if name in self.rows.column_names), None)

    @property
    def fingerprint(self) -> str:
        """blake2b (16 bytes, hex) of ids, contents (of segments with their times) and answers, whatever their order and
        wherever the files lie. Groups that are named for a split change nothing about the examples and are left out.

        The ids of a table's rows are their numbers: the same rows shuffled have another fingerprint, as the predictions
        on them have other ids. `content` tells that they are the same.
        """
        return self._prints[0]

    @property
    def inputs(self) -> str:
        """blake2b (16 bytes, hex) of what a model sees, in the order of the rows: contents, no ids and no answers."""
        return self._prints[1]

    @property
    def content(self) -> str:
        """blake2b (16 bytes, hex) of contents and answers, whatever their order and their ids: the same for two files
        of the same rows, another where a row differs or is there more often."""
        return self._prints[2]

    @cached_property
    def _prints(self) -> tuple[str, str, str]:
        """`fingerprint`, `inputs` and `content`: every file is read once, the first time that one is asked for."""
        taken = self.digested().digests
        assert taken is not None
        seen = digests.inputs(taken)
        whole = np.ascontiguousarray(taken[:, 0])
        wholes = (whole[number].tobytes() for number in range(len(whole)))
        content = digests.unordered(digests.answered(seen, self.answers))
        return digests.unordered(wholes), digests.digest(b"".join(seen)), content

    def ordered(self) -> dict[str, Any]:
        """What another table must have to be this one row by row: the number of rows; digests of ids, contents, answers
        and groups in the order of the rows; and `content`."""
        known = {"ids": self.ids, "answers": self.answers or [], "groups": self.groups or []}
        found = {name: digests.column(values) for name, values in known.items()}
        return {"n": len(self), "contents": self.inputs, **found, "content": self.content}


def make(
    input: str,
    source: str,
    ids: Sequence[str],
    inputs: Sequence[Any],
    answers: Sequence[Any] | None = None,
    groups: Sequence[str | None] | None = None,
    skipped: Iterable[dict[str, str]] = (),
    pairs: Sequence[str] | None = None,
    kind: str | None = None,
) -> Table:
    """A table from its columns; `input`, `kind`: names of the inputs' and the answers' kinds, the input's usual answers
    if None; `pairs` are second texts."""
    seen, predicted = INPUTS[input], ANSWERS[kind or INPUTS[input].answer]
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.string())}
    columns[seen.name] = pa.array(inputs, seen.arrow_of(inputs))
    if pairs is not None:
        columns["pair"] = pa.array(pairs, seen.arrow)
    if answers is not None:
        columns[predicted.name] = pa.array(answers, predicted.arrow)
    if groups is not None:
        columns[seen.group] = pa.array(groups, pa.string())
    return Table(Rows(pa.table(columns)), source, tuple(skipped))
