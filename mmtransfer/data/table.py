"""A table of examples: rows in memory with standard columns, where they came from, and a fingerprint of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

import datasets
import numpy as np
import pyarrow as pa

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
    """

    rows: datasets.Dataset
    source: str
    skipped: tuple[dict[str, str], ...] = ()

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
        taken = self.rows.data.table.take(pa.array(np.asarray(list(indices), dtype=np.int64)))
        return replace(self, rows=datasets.Dataset(taken))

    def without(self, indices: Sequence[int], reasons: Sequence[str]) -> Table:
        """The table without these rows, which are recorded as skipped, a reason each."""
        ids, out = self.ids, set(indices)
        entries = tuple({"id": ids[i], "reason": reason} for i, reason in zip(indices, reasons, strict=True))
        kept = self.select([i for i in range(len(self)) if i not in out])
        return replace(kept, skipped=self.skipped + entries)

    def relabelled(self, kind: Kind, answers: Sequence[Any]) -> Table:
        """The table with these answers instead of `label`."""
        kept = self.rows.data.table.drop_columns("label")
        return replace(self, rows=datasets.Dataset(kept.append_column(kind, pa.array(answers, _ANSWER[kind]))))

    @property
    def fingerprint(self) -> str:
        """blake2b (16 bytes, hex) of ids, contents (of segments with their times) and answers, whatever their order and
        wherever the files lie. Groups that are named for a split change nothing about the examples and are left out.
        """
        return self._digests[0]

    @property
    def inputs(self) -> str:
        """blake2b (16 bytes, hex) of what a model sees, in the order of the rows: contents, no ids and no answers."""
        return self._digests[1]

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """`fingerprint` and `inputs`: every file is read once, the first time that one of them is asked for."""
        kept = [name for name in self.rows.column_names if name != "group"]
        rows = self.rows.data.table.select(kept).to_pylist()
        seen = {next(name for name in ("image", "audio", "text") if name in kept), "pair"}
        with ThreadPoolExecutor(THREADS) as threads:
            files = "text" not in seen
            # a sentence is hashed in less time than it takes to hand it to a thread
            wholes = dict(threads.map(_whole, _segmented(rows))) if files else {}
            found = list((threads.map if files else map)(lambda row: _digest(row, seen, wholes), rows))
        wanted = sorted(whole for whole, _ in found), [inputs for _, inputs in found]
        first, second = (hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest() for parts in wanted)
        return first, second


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


def contents(file: Mapping[str, Any]) -> bytes:
    """The bytes of a File, wherever they are; OSError if it cannot be read."""
    return Path(file["path"]).read_bytes() if file["bytes"] is None else bytes(file["bytes"])


def _digest(row: dict[str, Any], seen: Collection[str], wholes: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """Digests of the whole row and of the columns in `seen`; `wholes`: by path those of files that segments are cut
    from."""
    digest, inputs = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    for name in sorted(row):
        for value in row[name] if isinstance(row[name], list) else (row[name],):
            if not isinstance(value, dict):
                data = ("" if value is None else str(value)).encode()
            elif value.get("start") is None:
                data = contents(value)
            else:
                held = wholes[value["path"]] if value["bytes"] is None else hashlib.blake2b(value["bytes"]).digest()
                data = f"{value['start']!r}:{value['stop']!r}:".encode() + held
            # the length in front: without it ("ab", "c") and ("a", "bc") would be one
            named = f"{name}:{len(data)}:".encode() + data
            digest.update(named)
            if name in seen:
                inputs.update(named)
    return digest.digest(), inputs.digest()


def _segmented(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The files that segments are cut from, each once."""
    files = (value for row in rows for value in row.values() if isinstance(value, dict))
    return sorted({file["path"] for file in files if file.get("start") is not None and file["bytes"] is None})


def _whole(path: str) -> tuple[str, bytes]:
    return path, hashlib.blake2b(contents({"path": path, "bytes": None})).digest()
