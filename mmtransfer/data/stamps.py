"""What was found in files is remembered as long as they keep their paths, sizes and time stamps."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmtransfer import files
from mmtransfer.data import digests
from mmtransfer.data.table import Table

SETTLED_SECONDS = 2.0
"""A file changed more recently may change again within the resolution of its time stamp: its digest is not kept."""


def digested(table: Table, folder: Path, advance: Callable[[int], None] = lambda done: None) -> Table:
    """`table.digested`, remembered in `folder`/fingerprints: files that have not changed are not read again."""
    if table.digests is not None:
        return table
    stamp = listing(table, answers=True)
    found: list[np.ndarray] = []

    def compute() -> bytes:
        found.append(np.asarray(table.digested(advance).digests))
        data = found[0].tobytes()
        return bytes.fromhex(digests.digest(data)) + data

    def whole(kept: bytes) -> bool:
        own = kept[: digests.SIZE], kept[digests.SIZE :]
        return len(own[1]) == 2 * digests.SIZE * len(table) and own[0].hex() == digests.digest(own[1])

    data = _remembered(folder, stamp and f"{stamp}.rows", compute, whole)
    if not found:
        advance(len(table))
        found.append(np.frombuffer(data, np.uint8, offset=digests.SIZE).reshape(-1, 2, digests.SIZE))
    return replace(table, digests=found[0])


def remembered(folder: Path, stamp: str | None, compute: Callable[[], str]) -> str:
    """The digest (hex) that `compute` gives, kept in `folder`/fingerprints under `stamp`, the files' `listing`."""
    kept = _remembered(folder, stamp, lambda: f"{compute()}\n".encode(), lambda kept: len(kept.strip()) == 32)
    return kept.decode(errors="replace").strip()


def _remembered(folder: Path, stamp: str | None, compute: Callable[[], bytes], whole: Callable[[bytes], bool]) -> bytes:
    if stamp is None:
        return compute()
    memory = folder / "fingerprints" / stamp
    try:
        kept = memory.read_bytes()
        if whole(kept):
            return kept
    except OSError:
        pass
    found = compute()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(memory, found, shared=True)
    except OSError:  # only slower without
        pass
    return found


def listing(table: Table, answers: bool) -> str | None:
    """Digest of paths, sizes, time stamps, times of segments and, with `answers`, all other columns; None where
    contents are read as fast, or unsettled."""
    if not table.input.in_files:
        return None
    column = table.input.name
    listed = table.column(column)
    if any(file["bytes"] is not None for file in listed):
        return None
    newest, stamps = 0.0, []
    for file in listed:
        try:
            status = os.stat(file["path"])
        except OSError:
            return None
        newest = max(newest, status.st_mtime, status.st_ctime)
        # a program can set st_mtime back, but not st_ctime
        stamp = [file["path"], status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        stamps.append([*stamp, file.get("start"), file.get("stop")])
    if time.time() - newest < SETTLED_SECONDS:
        return None
    others: Sequence[str] = [name for name in sorted(table.rows.column_names) if answers and name != column]
    return digests.digest(json.dumps([stamps, [[name, table.column(name)] for name in others]]).encode())
