"""From run folders to the file of a page."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mmtransfer
from mmtransfer import disk, files
from mmtransfer.comparison import Comparison, compare
from mmtransfer.errors import MMTransferError
from mmtransfer.report.evidence import Evidence, gather
from mmtransfer.report.explaining import explain
from mmtransfer.report.page import page, sections_of
from mmtransfer.report.sections import many
from mmtransfer.report.sections.examples import Listed, listed

logger = logging.getLogger("mmtransfer")
Opened = Callable[[Path], Any]
"""Opens the run in a folder, as `mmtransfer.load` does."""
SUFFIXES = (".html", ".htm")


def report(
    runs: Sequence[str | Path], out: str | Path | None = None, data: Any = None, opened: Opened | None = None
) -> Path:
    """Writes the page of a run, or of several, the first at length; its path, RUN/report.html if `out` is None.

    `data`: where the data that the runs were scored on lie now, if they have moved, or were given in Python; `opened`:
    opens a run, whose model is asked for some seconds about its worst answers; None: it is not asked. A run without
    predictions has a page, too, which says so. Raises MMTransferError for a folder that is no run, and for a file that
    cannot be written.
    """
    if not runs:
        raise MMTransferError("There is no run to report on", "mmtransfer report RUN", "give the folder of a run")
    place = Path(out) if out is not None else Path(runs[0]) / "report.html"
    evidence = gather(runs[0], data)
    check(place)
    comparison = compare(runs) if len(runs) > 1 else None
    return write(place, written(evidence, explained(evidence, opened), comparison))


def side_by_side(comparison: Comparison, out: str | Path) -> Path:
    """Writes the page of several runs, the best of them at length; its path."""
    place = Path(out)
    check(place)
    best = comparison.best.folders[0]
    return write(place, written(gather(best), {}, comparison))


def check(place: Path) -> None:
    """Raises MMTransferError, before anything is done, for a file that is no page or cannot be made."""
    where = f"--out {place}"
    if os.path.isdir(place):
        raise MMTransferError(
            "The page goes into a file, not a folder", where, f"name a file: --out {place}/report.html"
        )
    if place.suffix.lower() not in SUFFIXES:
        what = f"A page is written as .html, not {place.suffix or 'without a suffix'}"
        raise MMTransferError(what, where, f"name the file {place.stem}.html")
    with disk.writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)


def write(place: Path, content: str) -> Path:
    """Writes a page, whole or not at all; what UTF-8 cannot hold is shown as an escape already."""
    with disk.writing(place):
        files.write_bytes(place, content.encode("utf-8", "backslashreplace"))
    return place


def written(evidence: Evidence, more: Mapping[str, Mapping[str, Any]], comparison: Comparison | None = None) -> str:
    """The page of one run; with a `comparison` it comes after that."""
    found = examples_of(evidence, more)
    sections = sections_of(evidence, found)
    title, line = f"{evidence.name}: {evidence.task}", about(evidence)
    if comparison is not None:
        sections = [
            *many.make(comparison, evidence),
            sections[0]._replace(title=f"Verdict on {evidence.name}"),
            *sections[1:],
        ]
        title = f"{len(comparison.entries)} configurations: {evidence.task}"
        line = f"{len(evidence.ids):,} {comparison.split} examples · mmtransfer {mmtransfer.__version__}"
    return page(title, line, sections, found)


def examples_of(evidence: Evidence, more: Mapping[str, Mapping[str, Any]]) -> Listed | None:
    """The list of examples of a run that has predictions."""
    return None if evidence.answers is None else listed(evidence, evidence.answers, more)


def about(evidence: Evidence) -> str:
    """The line below the title."""
    result = evidence.result
    backbone = (result.get("backbone") or {}).get("name") or evidence.settings.get("backbone") or "?"
    started = str(result.get("started") or "")[:16].replace("T", " ")
    parts = [
        f"{evidence.settings.get('strategy')} of {backbone}",
        started and f"{started} UTC",
        f"mmtransfer {mmtransfer.__version__}",
    ]
    return " · ".join(part for part in parts if part)


def explained(evidence: Evidence, opened: Opened | None) -> Mapping[str, Mapping[str, Any]]:
    """By id, what the model says of its worst answers; nothing where it cannot be asked."""
    if opened is None or evidence.answers is None or evidence.result["status"] != "finished":
        return {}
    try:
        return explain(evidence, opened(evidence.place.path))
    except MMTransferError as error:  # a page without it is still a page
        logger.warning("the model cannot be asked about its answers: %s", error.what)
        return {}
