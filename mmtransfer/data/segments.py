"""Segments of recordings: those that a table gives the times of, and those that a long recording is cut into.

With transcripts a recording is cut only where the table says which words belong to which seconds. Without, when
predicting, it is cut where it is quietest.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any, cast

import numpy as np

from mmtransfer.data import audio
from mmtransfer.data.checks import Draft
from mmtransfer.data.file import File
from mmtransfer.data.records import Records
from mmtransfer.data.table import Table, make

logger = logging.getLogger("mmtransfer")
START = ("start", "start_time", "start_seconds", "begin")
STOP = ("end", "stop", "end_time", "end_seconds")
"""Usual names of the columns with a segment's times in seconds, in lower case."""
_AROUND = 20
"""Hops of 10 ms over which loudness is averaged: a stop within a word is no silence."""


def mark(draft: Draft, table: Records, where: str) -> None:
    """Gives recordings the segment times of their rows, where the table has a column for each end.

    A row with neither is the whole recording. The id gets the times. What is no time goes into `draft.bad`.
    """
    found = [next((name for name in table.header if name.lower() in usual), None) for usual in (START, STOP)]
    if found[0] is None or found[1] is None:
        return
    logger.info("segments of %s: seconds from column %r to column %r", where, *found)
    files = cast(list[File], draft.inputs)
    for number, values in enumerate(zip(table.column(found[0]), table.column(found[1]), strict=True)):
        if number in draft.bad or all(map(_missing, values)):
            continue
        try:
            start, stop = map(float, values)
            if not (math.isfinite(start) and math.isfinite(stop)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            draft.bad[number] = f"segment times must be two numbers of seconds, not {values[0]!r} and {values[1]!r}"
            continue
        files[number] = {**files[number], "start": start, "stop": stop}
        draft.ids[number] = _piece(draft.ids[number], start, stop)


def cut(table: Table, longest: float, overlap: float = 0.0) -> tuple[Table, list[int]]:
    """Recordings of more than `longest` seconds cut where they are quietest, and for each piece the row it is from.

    A table without transcripts; pieces of a recording follow each other and leave nothing out. A piece is at least a
    quarter of `longest` long. `overlap`: the share of `longest` by which two pieces overlap, the cut in the middle; no
    piece is longer for that. A table without long recordings comes back as it is.
    """
    ids: list[str] = []
    files: list[File] = []
    rows: list[int] = []
    cuts = 0
    for number, (name, value) in enumerate(zip(table.ids, cast(list[File], table.column("audio")), strict=True)):
        edges = _edges(value, longest, (1 - overlap) * longest)
        cuts += len(edges) - 2
        for start, stop in zip(edges, edges[1:], strict=False):
            whole = len(edges) == 2
            start = max(edges[0], start - overlap * longest / 2)
            stop = min(edges[-1], stop + overlap * longest / 2)
            ids.append(name if whole else _piece(name, start, stop))
            files.append(value if whole else {**value, "start": start, "stop": stop})
            rows.append(number)
    if not cuts:
        return table, rows
    logger.info("recordings longer than %g s: cut at %d quiet places, and their texts joined", longest, cuts)
    return dataclasses.replace(make("audio", table.source, ids, files), skipped=table.skipped), rows


def quiet(loudness: np.ndarray, longest: int) -> list[int]:
    """Hops before which to cut so that no piece has more than `longest` of them, nor less than a quarter.

    From each cut on, the quietest place of the second half of what is allowed is the next.
    """
    smooth = np.convolve(loudness, np.ones(_AROUND) / _AROUND, mode="same") if len(loudness) > _AROUND else loudness
    cuts: list[int] = []
    place = 0
    while len(loudness) - place > longest:
        last = min(place + longest, len(loudness) - longest // 4)
        first = place + longest // 2
        place = first + int(smooth[first : last + 1].argmin())
        cuts.append(place)
    return cuts


def _edges(value: File, longest: float, piece: float) -> list[float]:
    """Seconds at which pieces of at most `piece` seconds begin and end, within the file; of a recording of no more than
    `longest` its own."""
    begin = float(value.get("start") or 0.0)
    length = audio.seconds(value)
    if length <= longest:
        return [begin, begin + length]
    loudness, hop = audio.loudness(value)
    cuts = quiet(loudness, max(4, math.floor(piece / hop)))
    return [begin, *(begin + place * hop for place in cuts), begin + length]


def _piece(name: str, start: float, stop: float) -> str:
    return f"{name}#{start:.2f}-{stop:.2f}"


def _missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
