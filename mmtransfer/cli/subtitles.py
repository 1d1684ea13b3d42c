"""Words with their times as subtitles: SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmtransfer.tasks.base import Word

SUFFIXES = (".srt", ".vtt")
LONGEST, WIDEST, PAUSE = 6.0, 84, 0.8
"""A cue has at most so many seconds and characters (two lines of 42), and ends at a pause of so many seconds."""


def lines(words: Sequence[Word], suffix: str) -> Iterator[str]:
    """The lines of a file of subtitles."""
    mark = "," if suffix == ".srt" else "."
    if suffix == ".vtt":
        yield from ("WEBVTT", "")
    for number, cue in enumerate(_cues(words), start=1):
        yield str(number)
        yield f"{_clock(cue[0].start, mark)} --> {_clock(cue[-1].end, mark)}"
        text = " ".join(word.text for word in cue)
        # what WebVTT takes for the beginning of a tag or of a character's name
        yield text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") if suffix == ".vtt" else text
        yield ""


def _cues(words: Sequence[Word]) -> Iterator[list[Word]]:
    cue: list[Word] = []
    for word in words:
        wide = sum(len(one.text) + 1 for one in cue) + len(word.text) > WIDEST
        if cue and (wide or word.end - cue[0].start > LONGEST or word.start - cue[-1].end > PAUSE):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and thousandths, rounded once."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{thousandths:03}"
