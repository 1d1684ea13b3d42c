"""What was found in files is remembered as long as they keep their paths, sizes and time stamps."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmtransfer import files
from mmtransfer.data import digests
from mmtransfer.data.table import Table

SETTLED_SECONDS = 2.0
"""A file changed more recently may change again within the resolution of its time stamp: its digest is not kept."""


def remembered(folder: Path, stamp: str | None, compute: Callable[[], bytes]) -> bytes:
    """What `compute` gives, kept in `folder`/fingerprints under `stamp`, the files' `listing`; None: not kept."""
    if stamp is None:
        return compute()
    memory = folder / "fingerprints" / stamp
    try:
        kept = memory.read_bytes()
        if kept[: digests.SIZE].hex() == digests.digest(kept[digests.SIZE :]):
            return kept[digests.SIZE :]
    except OSError:  # nothing kept there
        pass
    found = compute()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(memory, bytes.fromhex(digests.digest(found)) + found, shared=True)
    except OSError:  # only slower without
        pass
    return found


def listing(table: Table, answers: bool) -> str | None:
    """Digest of paths, sizes, time stamps, times of segments and, with `answers`, all other columns; None where
    contents are read as fast, or unsettled."""
    if not table.input.in_files:
        return None
    files = table.rows.table.column(table.input.name)
    if any(chunk.field("bytes").null_count < len(chunk) for chunk in files.chunks):
        return None
    column = files.combine_chunks()
    paths = column.field("path").to_pylist()
    parts = {name: column.field(name).to_pylist() for name in column.type.names if name not in ("path", "bytes")}
    if answers:
        parts |= {name: table.column(name) for name in table.rows.column_names if name != table.input.name}
    known = {path: _stamp(path) for path in dict.fromkeys(paths)}
    stamps = np.array([known[path] for path in paths], np.int64).reshape(-1, 3)
    # a program can set the time of a change back, but not that of the entry in its folder
    if len(stamps) and time.time() - stamps[:, 1:].max() / 1e9 < SETTLED_SECONDS:
        return None
    whole = hashlib.blake2b(stamps.tobytes(), digest_size=digests.SIZE)
    for name, values in sorted({"path": paths, **parts}.items()):
        whole.update(f"{name}:{digests.column(values)};".encode())
    return whole.hexdigest()


def _stamp(path: str | None) -> Sequence[int]:
    """Size in bytes, and the times of the last change of a file and of its entry, in nanoseconds; of none, zeros."""
    try:
        status = os.stat(path or "")
    except (OSError, ValueError):
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
