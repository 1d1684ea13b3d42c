"""A digest of every row of a table, taken in one reading of its files, and digests of whole columns made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from mmtransfer.data.file import location, read_contents
from mmtransfer.data.kinds import ANSWERS, INPUTS
from mmtransfer.errors import MMTransferError

SIZE = 16
"""Bytes of a digest."""
_ROWS, _FILES = 4096, 16
"""Rows that are digested at a time: texts, and files, of which a thread takes so many between two hand-overs."""
Look = Callable[[int, Mapping[str, Any], bytes | None], bool]
"""Gets the number of a row, its file, and the bytes or None if they cannot be read; tells whether it can be used."""


def of(
    rows: pa.Table, threads: int, advance: Callable[[int], None] = lambda done: None, look: Look | None = None
) -> np.ndarray:
    """uint8 (n, 2, SIZE): blake2b of every whole row but its `group`, and of what a model sees of it.

    Every file is read once, by `threads` at a time; `advance` is told how many rows are done; `look` is shown every
    file while its bytes are there. Segments of a recording are digested by their times and the digest of the whole
    file. Raises MMTransferError for a file that cannot be read, unless `look` says that it cannot be used.
    """
    told = {name: _digested(name) for name in rows.column_names if name != "group"}
    rows = rows.select(sorted(told, key=lambda name: told[name]))
    seen = {_input(rows), "pair"}
    files = INPUTS[_input(rows)].in_files
    order, edges = _by_file(rows) if files else (None, np.arange(0, len(rows) + _ROWS, _ROWS).clip(max=len(rows)))
    rows = rows if order is None else rows.take(pa.array(order))
    numbers = np.arange(len(rows)) if order is None else order
    taken = np.empty((len(rows), 2, SIZE), np.uint8)

    def digest_part(span: tuple[int, int]) -> int:
        own = numbers[slice(*span)]
        data = _part(rows.slice(span[0], len(own)), own.tolist(), seen, look)
        taken[own] = np.frombuffer(data, np.uint8).reshape(-1, 2, SIZE)
        return len(own)

    with ThreadPoolExecutor(threads) as pool:
        # a sentence is hashed in less time than it takes to hand it to a thread
        for done in (pool.map if files else map)(digest_part, pairwise(edges.tolist())):
            advance(done)
    return taken


def inputs(taken: np.ndarray) -> list[bytes]:
    """Of what `of` gives, the digests of what a model sees."""
    data = np.ascontiguousarray(taken[:, 1]).tobytes()
    return [data[start : start + SIZE] for start in range(0, len(data), SIZE)]


def unordered(digests: Iterable[bytes]) -> str:
    """The digest (hex) of digests as a multiset: whatever their order, but each as often as it is there."""
    return digest(b"".join(sorted(digests)))


def column(values: Iterable[Any]) -> str:
    """The digest (hex) of a column's values in their order: texts, numbers, lists of texts, None."""
    whole = hashlib.blake2b(digest_size=SIZE)
    for value in values:
        whole.update(_named("", value if isinstance(value, list) else [value]) + b";")
    return whole.hexdigest()


def answered(inputs: Sequence[bytes], answers: Sequence[Any] | None) -> Iterator[bytes]:
    """Of each example the digest of what a model sees together with its answer."""
    for number, seen in enumerate(inputs):
        answer = [] if answers is None else answers[number]
        data = seen + _named("", answer if isinstance(answer, list) else [answer])
        yield hashlib.blake2b(data, digest_size=SIZE).digest()


def digest(data: bytes) -> str:
    """blake2b (16 bytes, hex)."""
    return hashlib.blake2b(data, digest_size=SIZE).hexdigest()


def _input(rows: pa.Table) -> str:
    return next(name for name in INPUTS if name in rows.column_names)


def _digested(name: str) -> str:
    """What a column is called where it is hashed."""
    return ANSWERS[name].digested or name if name in ANSWERS else name


def _by_file(rows: pa.Table) -> tuple[np.ndarray | None, np.ndarray]:
    """The order of rows in which segments of a file follow each other, None if there are none; and where to cut the
    rows into parts, so that none of these files is in two."""
    files = rows.column(_input(rows))
    if files.type.get_field_index("start") < 0:
        return None, np.arange(0, len(rows) + _FILES, _FILES).clip(max=len(rows))
    names = [file["path"] or "" for file in files.to_pylist()]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    edges = [0]
    for place in range(1, len(names)):
        if place - edges[-1] >= _FILES and names[order[place]] != names[order[place - 1]]:
            edges.append(place)
    return order, np.array([*edges, len(names)])


def _part(part: pa.Table, numbers: Iterable[int], seen: Collection[str], look: Look | None) -> bytes:
    """The two digests of each row, one after the other; `numbers`: of the rows, as `look` is told them."""
    names = part.column_names
    contents = _Contents(look)
    found = []
    rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
    for number, values in zip(numbers, rows, strict=True):
        row, own = hashlib.blake2b(digest_size=SIZE), hashlib.blake2b(digest_size=SIZE)
        for name, value in zip(names, values, strict=True):
            if isinstance(value, dict):
                value = contents.hashed(number, value)
            data = _named(_digested(name), value if isinstance(value, list) else (value,))
            row.update(data)
            if name in seen:
                own.update(data)
        found += [row.digest(), own.digest()]
    return b"".join(found)


class _Contents:
    """The bytes of files, one after the other; several segments of a file in a row need it once."""

    def __init__(self, look: Look | None) -> None:
        self.look = look
        self.place: tuple[Any, ...] | None = None
        self.data: bytes | None = None
        self.digest: bytes | None = None

    def hashed(self, number: int, file: Mapping[str, Any]) -> bytes:
        """What is hashed of a file: its bytes; of a segment its times and the digest of the whole file."""
        place = (file["path"], file.get("offset")) if file["bytes"] is None else None
        if place is None or place != self.place:
            self.data, self.digest = self._read(number, file), None
            self.place = None if self.data is None else place
        if self.data is None:
            return b""
        if self.look is not None:
            self.look(number, file, self.data)
        if file.get("start") is None:
            return self.data
        self.digest = self.digest or hashlib.blake2b(self.data).digest()
        return f"{file['start']!r}:{file['stop']!r}:".encode() + self.digest

    def _read(self, number: int, file: Mapping[str, Any]) -> bytes | None:
        """The bytes of a file; None of one that cannot be used, which `look` has been told."""
        try:
            return read_contents(file)
        except OSError as error:
            if self.look is not None and not self.look(number, file, None):
                return None
            raise MMTransferError(
                f"A file of the data cannot be read: {error.strerror or error}", location(file, "a file"), "put it back"
            ) from None


def _named(name: str, values: Iterable[Any]) -> bytes:
    """Values with their column's name, as they are hashed."""
    parts = []
    for value in values:
        data = value if isinstance(value, bytes) else ("" if value is None else str(value)).encode()
        # the length in front: without it ("ab", "c") and ("a", "bc") would be one
        parts.append(f"{name}:{len(data)}:".encode() + data)
    return b"".join(parts)
