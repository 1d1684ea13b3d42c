"""All that the files of a table tell before the first step, in one reading of each: whether it can be used, its
digests, and how long a recording is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mmtransfer.data import digests, images, stamps
from mmtransfer.data.file import File
from mmtransfer.data.kinds.files import FileKind
from mmtransfer.data.reading import Reading
from mmtransfer.data.table import THREADS, Table

FORMAT = 1
"""Raised when what a survey finds, or how it is packed, changes: those remembered by another version are not read."""


@dataclass(frozen=True)
class Survey:
    """What is known of the rows of a table."""

    digests: np.ndarray
    """uint8 (n, 2, 16), as `digests.of` gives them; of rows that cannot be used they say nothing."""
    extents: np.ndarray
    """int64 (n, 2): samples of a recording or its segment, and how many of them are a second; zeros of pictures."""
    faults: dict[int, str]
    """By the number of a row, why it cannot be used."""

    def packed(self) -> bytes:
        faults = json.dumps(self.faults).encode()
        return self.digests.tobytes() + self.extents.astype("<i8").tobytes() + faults

    @staticmethod
    def unpacked(data: bytes, count: int) -> Survey:
        """What `packed` was made of, for a table of `count` rows."""
        middle, end = 2 * digests.SIZE * count, (2 * digests.SIZE + 16) * count
        taken = np.frombuffer(data[:middle], np.uint8).reshape(count, 2, digests.SIZE)
        faults = {int(number): reason for number, reason in json.loads(data[end:]).items()}
        return Survey(taken, np.frombuffer(data[middle:end], "<i8").reshape(count, 2), faults)


def survey(table: Table, max_seconds: float | None, reading: Reading) -> Survey:
    """Reads the files of a table, each once and several at a time; none where that is remembered of them.

    `max_seconds`: the longest recording that can be used, None: any. A file whose bytes are found wanting is looked at
    again by its name, which may tell a decoder what it is, and stands in the message.
    """
    kind = table.input
    assert isinstance(kind, FileKind)
    extents = np.zeros((len(table), 2), np.int64)
    faults: dict[int, str] = {}

    def look(number: int, file: Mapping[str, Any], data: bytes | None) -> bool:
        own, held = cast(File, file), cast(File, {**file, "bytes": data})
        usable = bool(data) and kind.fault_of_contents(held, max_seconds) is None
        reason = None if usable else kind.fault(own, max_seconds)
        if reason is None:
            extents[number] = kind.extent(held if usable else own)
        else:
            faults[number] = reason
        return reason is None

    def read() -> bytes:
        with reading.show(f"reading {reading.split}", len(table)) as advance, images.own_limit():
            taken = digests.of(table.rows.table, THREADS, advance, look)
        return Survey(taken, extents, faults).packed()

    if reading.memory is None:
        return Survey.unpacked(read(), len(table))
    stamp = stamps.listing(table, answers=True)
    name = stamp and digests.digest(
        json.dumps([FORMAT, stamp, kind.reader, max_seconds, images.most_pixels()]).encode()
    )
    return Survey.unpacked(stamps.remembered(reading.memory, name, read), len(table))
