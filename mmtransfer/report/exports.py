"""A comparison as a file: a page, or a table as Markdown, CSV or JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmtransfer import disk, files
from mmtransfer.comparison import Comparison
from mmtransfer.errors import MMTransferError
from mmtransfer.report.making import side_by_side
from mmtransfer.report.sections.costs import count
from mmtransfer.terminal import visible

FORMULA = tuple("=+-@\t\r\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


def check(out: str | Path) -> None:
    """Raises MMTransferError, before anything is computed, for a file that `export` does not write."""
    place, where = Path(out), f"--out {out}"
    if os.path.isdir(place):
        raise MMTransferError("The comparison goes into a file, not a folder", where, "name a file")
    if place.suffix.lower() not in WRITERS:
        what = f"A comparison is written as {', '.join(WRITERS)}, not {place.suffix or 'without a suffix'}"
        raise MMTransferError(what, where, f"name the file {place.stem}.html, for one")
    with disk.writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)


def export(comparison: Comparison, out: str | Path) -> Path:
    """Writes a comparison in the format that the suffix of `out` names; its path."""
    check(out)
    place = Path(out)
    WRITERS[place.suffix.lower()](comparison, place)
    return place


def rows_of(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows of `Comparison.to_frame` as JSON holds them: what is missing is None."""
    frame = comparison.to_frame().astype(object)
    return [dict(row) for row in frame.where(frame.notna(), None).to_dict("records")]


def _json(comparison: Comparison, place: Path) -> None:
    content = {
        "task": comparison.task,
        "split": comparison.split,
        "metric": comparison.primary,
        "best": comparison.best.name,
        "configurations": rows_of(comparison),
        "verdicts": [str(verdict) for verdict in comparison.verdicts],
    }
    _write(place, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _csv(comparison: Comparison, place: Path) -> None:
    frame = comparison.to_frame()
    for name in ("name", "run"):
        frame[name] = [_cell(value) for value in frame[name]]
    _write(place, frame.to_csv(index=False, lineterminator="\n"))


def _cell(text: str) -> str:
    """A cell that stays text in a spreadsheet."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _markdown(comparison: Comparison, place: Path) -> None:
    head = ("configuration", f"{comparison.primary} ({comparison.split})", "against the best", "seconds", "trained")
    lines = [" | ".join(head), " | ".join(["---", "---", "---", "---:", "---:"])]
    lines += [" | ".join(map(_escaped, cells(comparison, row))) for row in rows_of(comparison)]
    verdicts = [f"- {_escaped(str(verdict))}" for verdict in comparison.verdicts]
    _write(place, "\n".join([*(f"| {line} |" for line in lines), "", *verdicts, ""]))


def cells(comparison: Comparison, row: Mapping[str, Any]) -> list[str]:
    """A row as text: name, score with its interval, difference to the best, seconds, trained parameters. The number of
    seeds is told where configurations differ in it."""
    value, low, high = row[comparison.primary], row["low"], row["high"]
    score = "-" if value is None else f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")
    if row["difference"] is None:
        against = "best"
    else:
        p = "" if row["p"] is None else f", p {row['p']:.2g}"
        against = f"{row['difference']:+.3f}{p}"
    several = len({len(entry.results) for entry in comparison.entries}) > 1
    seeds = f", {row['seeds']} seed{'' if row['seeds'] == 1 else 's'}" if several else ""
    return [f"{row['name']}{seeds}", score, against, f"{row['seconds']:.0f}", count(row["trainable"])]


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(visible(text).split()))


def _write(place: Path, text: str) -> None:
    with disk.writing(place):
        files.write_bytes(place, text.encode("utf-8", "backslashreplace"), shared=True)


WRITERS: Mapping[str, Callable[[Comparison, Path], Any]] = {
    ".html": side_by_side,
    ".md": _markdown,
    ".csv": _csv,
    ".json": _json,
}
"""By suffix."""
