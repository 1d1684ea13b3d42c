"""Every task on its built-in data with its built-in backbone, beside training from scratch: one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmtransfer.api import fit
from mmtransfer.comparison import Comparison, spoken
from mmtransfer.control import versus_scratch
from mmtransfer.defaults import BUILTIN, OWN_DATA
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")


def demo(out: str | Path | None = None) -> list[Comparison]:
    """Runs every task on its built-in data, from the built-in backbone and from scratch, and prints one table.

    `out`: folder of the run folders; runs/demo-DATE-TIME if None. Needs no network.
    """
    place = Path(out) if out is not None else Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if place.exists() and any(place.iterdir()):
        raise MMTransferError("The folder exists", f"--out {place}", "give another --out")
    found = []
    for number, task in enumerate(BUILTIN, 1):
        logger.info("%d of %d: %s", number, len(BUILTIN), task)
        settings: dict[str, Any] = {"task": task, "out": str(place / task)}
        found.append(versus_scratch(settings, fit(**settings)))
    _show(found)
    print(f"the runs are in {place}; one of them again: mmtransfer fit TASK")
    for task in BUILTIN:
        print(f"next, with your own data: mmtransfer fit {task} {OWN_DATA[task]} --backbone builtin --versus-scratch")
    return found


def _show(comparisons: Sequence[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="transfer and scratch, same epochs; 95 % intervals", title_justify="left")
    for heading in ("data", "metric", "transfer", "scratch", "difference", "p", "seconds"):
        table.add_column(heading)
    for comparison in comparisons:
        first = comparison.verdicts[0]
        scores = [spoken(entry.scores(comparison.split, first.metric)) for entry in comparison.entries]
        seconds = " / ".join(f"{entry.cost()['seconds']:.0f}" for entry in comparison.entries)
        source = comparison.entries[0].results[0]["data"][comparison.split]["source"]
        difference = first.difference
        interval = "" if difference.low is None else f" ({difference.low:+.4f} to {difference.high:+.4f})"
        p = "-" if difference.p is None else f"{difference.p:.2g}"
        cells = [source, first.metric, *scores, f"{difference.value:+.4f}{interval}", p, seconds]
        table.add_row(*(cell.replace(" (", "\n(") for cell in cells))  # an interval below its value: 80 columns
    Console().print(table)
