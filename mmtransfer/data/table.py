"""A table of examples: rows in memory with standard columns, where they came from, and a fingerprint of them."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NotRequired, TypedDict, cast

import datasets
import numpy as np
import pyarrow as pa

from mmtransfer.data import digests
from mmtransfer.data.labels import Kind

Modality = Literal["image", "text", "speech"]
INPUT: dict[Modality, str] = {"image": "image", "text": "text", "speech": "audio"}
"""The column of each modality that holds what a model sees."""

GROUP: dict[Modality, str] = {"image": "group", "text": "group", "speech": "speaker"}
"""The column that says which examples belong together."""

THREADS = min(16, 4 + (os.cpu_count() or 1))
"""Threads that open files: reading and decoding both wait outside Python's lock."""

_ANSWER: dict[Kind, pa.DataType] = {
    "label": pa.string(),
    "labels": pa.large_list(pa.string()),
    "value": pa.float64(),
}
# 64-bit offsets: `take` on plain binary fails above 2 GB a column
_FILE = pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])
_SEGMENT = pa.struct([*_FILE, ("start", pa.float64()), ("stop", pa.float64())])


class File(TypedDict):
    """An image or a recording: a file by absolute path, or the bytes of one; the other is None.

    `start`, `stop`: seconds, of a recording of which this is a segment; both there, or neither.
    """

    path: str | None
    bytes: bytes | None
    start: NotRequired[float | None]
    stop: NotRequired[float | None]


@dataclass(frozen=True, eq=False)
class Table:
    """Examples of one source.

    `rows`: columns `id`, then `image` (a File), or `text` and of pairs `pair`, the second text, with the answer in
    `label` (str), `labels` (sorted list of str) or `value` (float), and `group`; or `audio` (a File), `text` and
    `speaker`. Answer, transcript, speaker and group are there only where known. Ids are unique: a file's POSIX path
    relative to its folder (of a segment with its times), or the number of the row, from 0.
    `source`: what the user gave, for messages and records.
    `skipped`: {"id", "reason"} of every example of the source that was left out.
    `digests`: uint8 (n, 2, 16), of each row what `digests.of` gives, where they have been taken; `select` takes them
    along.
    """

    rows: datasets.Dataset
    source: str
    skipped: tuple[dict[str, str], ...] = ()
    digests: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> list[str]:
        return self.column("id")

    def column(self, name: str) -> list[Any]:
        """All values of a column, as Python objects."""
        return self.rows.data.column(name).to_pylist()

    def select(self, indices: Iterable[int] | np.ndarray) -> Table:
        """These rows, in this order; what was skipped stays recorded."""
        # taken from the Arrow table: Dataset.select keeps the whole table and makes every later look-up slower
        numbers = np.asarray(list(indices), dtype=np.int64)
        taken = self.rows.data.table.take(pa.array(numbers))
        known = None if self.digests is None else self.digests[numbers]
        return replace(self, rows=datasets.Dataset(taken), digests=known)

    def without(self, indices: Sequence[int], reasons: Sequence[str]) -> Table:
        """The table without these rows, which are recorded as skipped, a reason each."""
        ids, out = self.ids, set(indices)
        entries = tuple({"id": ids[i], "reason": reason} for i, reason in zip(indices, reasons, strict=True))
        kept = self.select([i for i in range(len(self)) if i not in out])
        return replace(kept, skipped=self.skipped + entries)

    def relabelled(self, kind: Kind, answers: Sequence[Any]) -> Table:
        """The table with these answers instead of `label`."""
        kept = self.rows.data.table.drop_columns("label")
        rows = datasets.Dataset(kept.append_column(kind, pa.array(answers, _ANSWER[kind])))
        return replace(self, rows=rows, digests=None)

    def digested(self, advance: Callable[[int], None] = lambda done: None) -> Table:
        """The table with the digests of its rows, for which every file is read once; `advance`: as in `digests.of`."""
        if self.digests is not None:
            return self
        return replace(self, digests=digests.of(self.rows.data.table, THREADS, advance))

    @property
    def answers(self) -> list[Any] | None:
        """Labels, numbers or transcripts; None where there are none."""
        columns = self.rows.column_names
        names = ("text",) if "audio" in columns else typing.get_args(Kind)
        return next((self.column(name) for name in names if name in columns), None)

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
        names = self.rows.column_names
        groups = next((self.column(name) for name in digests.GROUPS if name in names), [])
        known = {"ids": self.ids, "answers": self.answers or [], "groups": groups}
        found = {name: digests.column(values) for name, values in known.items()}
        return {"n": len(self), "contents": self.inputs, **found, "content": self.content}


def make(
    modality: Modality,
    source: str,
    ids: Sequence[str],
    inputs: Sequence[str] | Sequence[File],
    answers: Sequence[Any] | None = None,
    speakers: Sequence[str | None] | None = None,
    skipped: Iterable[dict[str, str]] = (),
    pairs: Sequence[str] | None = None,
    kind: Kind = "label",
) -> Table:
    """A table from its columns; `answers` are what `kind` says, of speech the transcripts; `speakers` are groups of any
    kind; `pairs` are second texts."""
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.string())}
    segmented = modality == "speech" and any("start" in file for file in cast(Sequence[File], inputs))
    stored = pa.string() if modality == "text" else _SEGMENT if segmented else _FILE
    columns[INPUT[modality]] = pa.array(inputs, stored)
    if pairs is not None:
        columns["pair"] = pa.array(pairs, pa.string())
    if answers is not None:
        columns["text" if modality == "speech" else kind] = pa.array(answers, _ANSWER[kind])
    if speakers is not None:
        columns[GROUP[modality]] = pa.array(speakers, pa.string())
    return Table(datasets.Dataset(pa.table(columns)), source, tuple(skipped))
