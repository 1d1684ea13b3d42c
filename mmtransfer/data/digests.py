"""A digest of every row of a table, taken in one reading of its files, and digests of whole columns made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from mmtransfer.data.file import read_contents
from mmtransfer.data.kinds import ANSWERS, INPUTS
from mmtransfer.errors import MMTransferError

SIZE = 16
"""Bytes of a digest."""
_ROWS, _FILES = 4096, 16
"""Rows that are digested at a time: texts, and files, of which a thread takes so many between two hand-overs."""


def of(rows: pa.Table, threads: int, advance: Callable[[int], None] = lambda done: None) -> np.ndarray:
    """uint8 (n, 2, SIZE): blake2b of every whole row but its `group`, and of what a model sees of it.

    Every file is read once, by `threads` at a time; `advance` is told how many rows are done. Segments of a recording
    are digested by their times and the digest of the whole file. Raises MMTransferError for a file that cannot be read.
    """
    told = {name: _digested(name) for name in rows.column_names if name != "group"}
    rows = rows.select(sorted(told, key=lambda name: told[name]))
    seen = {_input(rows), "pair"}
    files = INPUTS[_input(rows)].in_files
    batches = rows.to_batches(max_chunksize=_FILES if files else _ROWS)
    found: list[bytes] = []
    with ThreadPoolExecutor(threads) as pool:
        wholes = dict(pool.map(_whole, _segmented(rows))) if files else {}
        # a sentence is hashed in less time than it takes to hand it to a thread
        for part in (pool.map if files else map)(lambda batch: _batch(batch, seen, wholes), batches):
            found.append(part)
            advance(len(part) // (2 * SIZE))
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 2, SIZE)


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


def _batch(batch: pa.RecordBatch, seen: Collection[str], wholes: Mapping[str, bytes]) -> bytes:
    """The two digests of each row, one after the other; `wholes`: by path those of files that segments are cut from."""
    names = batch.schema.names
    found = []
    for values in zip(*(part.to_pylist() for part in batch.columns), strict=True):
        row, own = hashlib.blake2b(digest_size=SIZE), hashlib.blake2b(digest_size=SIZE)
        for name, value in zip(names, values, strict=True):
            if isinstance(value, dict):
                value = _read(value, wholes)
            data = _named(_digested(name), value if isinstance(value, list) else (value,))
            row.update(data)
            if name in seen:
                own.update(data)
        found += [row.digest(), own.digest()]
    return b"".join(found)


def _named(name: str, values: Iterable[Any]) -> bytes:
    """Values with their column's name, as they are hashed."""
    parts = []
    for value in values:
        data = value if isinstance(value, bytes) else ("" if value is None else str(value)).encode()
        # the length in front: without it ("ab", "c") and ("a", "bc") would be one
        parts.append(f"{name}:{len(data)}:".encode() + data)
    return b"".join(parts)


def _read(file: Mapping[str, Any], wholes: Mapping[str, bytes]) -> bytes:
    """The bytes of a file that are hashed; of a segment its times and the digest of the whole file."""
    if file.get("start") is None:
        return _contents(file)
    held = wholes[file["path"]] if file["bytes"] is None else hashlib.blake2b(file["bytes"]).digest()
    return f"{file['start']!r}:{file['stop']!r}:".encode() + held


def _segmented(rows: pa.Table) -> list[str]:
    """The files that segments are cut from, each once."""
    files = rows.column(_input(rows))
    if files.type.get_field_index("start") < 0:
        return []
    return sorted({file["path"] for file in files.to_pylist() if file["start"] is not None and file["bytes"] is None})


def _whole(path: str) -> tuple[str, bytes]:
    return path, hashlib.blake2b(_contents({"path": path, "bytes": None})).digest()


def _contents(file: Mapping[str, Any]) -> bytes:
    try:
        return read_contents(file)
    except OSError as error:
        raise MMTransferError(
            f"A file of the data cannot be read: {error.strerror or error}", str(file["path"]), "put it back"
        ) from None
