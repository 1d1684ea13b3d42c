"""`mmtransfer report RUN ...`: one page of what runs have come to."""

from __future__ import annotations

import dataclasses
import logging
import webbrowser
from pathlib import Path

import tyro

from mmtransfer.cli.words import parse
from mmtransfer.run import RunFolder

logger = logging.getLogger("mmtransfer")


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """The folder of a run; of several, the first is told of at length, and all are compared."""
    out: str | None = None
    """The page to write, .html; RUN/report.html if not given."""
    open: bool = False
    """Open the page in a browser."""
    scored_on: str | None = None
    """The data that the runs were scored on, where they have moved."""
    quick: bool = False
    """Do not ask the model which words of the worst texts mattered, and when the words of the worst recordings were
    said; else that takes some seconds."""


def run(words: list[str]) -> None:
    """Writes the page and says where it is."""
    said = parse(Words, words, "report", "One page of what a run has come to: a single file, for any browser.")
    for name in said.runs:
        RunFolder(Path(name)).refuse_absent()
    from mmtransfer.pages import report

    place = report(*said.runs, out=said.out, data=said.scored_on, explain=not said.quick)
    print(f"the page is {place}")
    if said.open:
        show(place)


def show(place: Path) -> None:
    """Opens a page in the user's browser, where there is one."""
    if not webbrowser.open(place.resolve().as_uri()):
        logger.warning("there is no browser to open %s with", place)
