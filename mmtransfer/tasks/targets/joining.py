"""Words with their times, and how those of overlapping pieces of a recording become one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmtransfer.language.alignment import Spoken
from mmtransfer.tasks.base import Word


def timed(text: str, spoken: Sequence[Spoken], begin: float, seconds: float, frames: int) -> list[Word]:
    """The words of a text in seconds; `begin`, `seconds`: of the piece that has these frames, within its recording."""
    each = seconds / max(1, frames)
    return [
        Word(word, begin + one.begin * each, begin + one.end * each, one.confidence)
        for word, one in zip(text.split(), spoken, strict=True)
    ]


def joined(pieces: Sequence[Mapping[str, Any]]) -> list[Word]:
    """The words of a recording's pieces, in their order; each has `words` (a list of Word), `begin` and `seconds`.

    Where two pieces overlap, the first one has the words before a seam and the second one those behind it. The seam is
    the place nearest to the middle of the overlap at which neither piece is within a word.
    """
    found: list[Word] = []
    end = None
    for piece in pieces:
        words, begin = list(piece["words"]), piece["begin"]
        if end is not None and begin < end:
            place = seam(found, words, begin, end)
            found = [word for word in found if _middle(word) < place]
            words = [word for word in words if _middle(word) >= place]
        found += words
        end = begin + piece["seconds"]
    return found


def seam(first: Sequence[Word], second: Sequence[Word], begin: float, end: float) -> float:
    """The second nearest to the middle of an overlap from `begin` to `end` that is within no word; the middle, where
    all of the overlap is within words."""
    middle = (begin + end) / 2
    inside = [(word.start, word.end) for word in (*first, *second) if word.end > begin and word.start < end]
    tried = [middle, *(edge for word in inside for edge in word if begin <= edge <= end)]
    free = [place for place in tried if not any(start < place < stop for start, stop in inside)]
    return min(free or [middle], key=lambda place: abs(place - middle))


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2
