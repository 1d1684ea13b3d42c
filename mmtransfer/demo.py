"""Three tasks on their built-in data with its built-in backbone, beside training from scratch: one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmtransfer.api import fit
from mmtransfer.comparison import Comparison
from mmtransfer.control import versus_scratch
from mmtransfer.defaults import DEMO, OWN_DATA
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score
from mmtransfer.terminal import console, visible

logger = logging.getLogger("mmtransfer")


def demo(out: str | Path | None = None, silent: bool = False) -> list[Comparison]:
    """Runs three tasks on their built-in data, from the built-in backbone and from scratch, and prints one table.

    `out`: folder of the run folders; runs/demo-DATE-TIME if None. `silent`: print nothing. Needs no network.
    """
    place = Path(out) if out is not None else Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise MMTransferError(
            "The folder exists" if place.is_dir() else "That is a file", f"--out {place}", "give another --out"
        )
    found = []
    for number, task in enumerate(DEMO, 1):
        logger.info("%d of %d: %s", number, len(DEMO), task)
        settings: dict[str, Any] = {"task": task, "train": "builtin", "out": str(place / task)}
        found.append(versus_scratch(settings, fit(**settings)))
    if silent:
        return found
    _show(found)
    print(visible(f"the runs are in {place}; one of them again: mmtransfer fit TASK --train builtin"))
    for task in DEMO:
        print(f"next, with your own data: mmtransfer fit {task} {OWN_DATA[task]} --backbone builtin --versus-scratch")
    return found


def _show(comparisons: Sequence[Comparison]) -> None:
    from rich import box
    from rich.table import Table

    title = "transfer and scratch, same epochs: test scores with 95 % intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)  # 80 columns
    for heading in ("data", "transfer", "scratch", "difference", "seconds"):
        table.add_column(heading)
    for comparison in comparisons:
        first, split = comparison.verdicts[0], comparison.split
        scores = [Score.of(entry.scores(split, first.metric)[0]) for entry in comparison.entries]
        cells = [_in_two_lines(f"{score:.3f}") for score in scores]
        difference = _in_two_lines(f"{first.difference:+.3f}")
        better = {first.first: "transfer is better", first.second: "scratch is better"}
        verdict = better.get(first.better or "", "open" if first.is_open else "not shown")
        seconds = " / ".join(f"{entry.cost()['seconds']:.0f}" for entry in comparison.entries)
        data = str(comparison.entries[0].results[0]["data"][split]["source"]).removeprefix("builtin:")
        table.add_row(f"{data}\n{first.metric}", *cells, f"{difference}\n{verdict}", seconds)
    console().print(table)


def _in_two_lines(estimate: str) -> str:
    """The interval under the value."""
    return estimate.replace(" (", "\n(", 1)
