"""Does transfer help? The same settings once from pretrained and once from random weights, for the same epochs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmtransfer.api import Run, fit
from mmtransfer.comparison import Comparison, compare, spoken
from mmtransfer.defaults import BUILTIN, OWN_DATA
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder

logger = logging.getLogger("mmtransfer")
TRANSFER_ONLY = ("weights", "strategy", "strategy_options", "out", "overwrite", "resume")


def from_scratch(settings: Mapping[str, Any]) -> bool:
    """Whether `fit` with these settings starts from random weights: such a run has no control."""
    config = resolve(**settings)
    return config.strategy == "scratch" or config.weights == "none"


def check_versus(settings: Mapping[str, Any]) -> None:
    """Raises MMTransferError, before anything is trained, where `versus_scratch` would have nothing to do."""
    if from_scratch(settings):
        raise MMTransferError(
            "The run is from scratch itself", "--versus-scratch", "leave it out, or give a backbone with weights"
        )
    if settings.get("out") is not None:
        RunFolder(Path(_control(str(settings["out"])))).check(bool(settings.get("overwrite")))


def versus_scratch(settings: Mapping[str, Any], run: Run) -> Comparison:
    """Trains the control of a finished run in RUN-scratch, and compares the two.

    `settings`: what `fit` was called with for `run`; all of it holds for the control but weights and strategy. Where no
    rate is given, the control has that of training from scratch, if the built-in data name one.
    """
    kept = {name: value for name, value in settings.items() if name not in TRANSFER_ONLY}
    out = _control(str(run.folder.path))
    logger.info("the same from random weights, in %s", out)
    control = fit(**kept, strategy="scratch", out=out, overwrite=bool(settings.get("overwrite")))
    return compare([run.folder.path, control.folder.path])


def _control(out: str) -> str:
    return f"{out.rstrip('/')}-scratch"


def demo(out: str | Path | None = None) -> list[Comparison]:
    """Runs every task that has built-in data and a built-in backbone, transfer and scratch, and prints one table.

    `out`: folder of the run folders; runs/demo-DATE-TIME if None. Needs no network.
    """
    place = Path(out) if out is not None else Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if place.exists() and any(place.iterdir()):
        raise MMTransferError("The folder exists", f"--out {place}", "give another --out")
    found, tasks = [], [task for task in BUILTIN if not from_scratch({"task": task})]
    for task in tasks:
        logger.info("%s", task)
        settings: dict[str, Any] = {"task": task, "out": str(place / task)}
        found.append(versus_scratch(settings, fit(**settings)))
    _show(found)
    print(f"the runs are in {place}; one of them again: mmtransfer fit TASK")
    for task in tasks:
        print(f"next, with your own data: mmtransfer fit {task} {OWN_DATA[task]} --backbone builtin --versus-scratch")
    return found


def _show(comparisons: Sequence[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="transfer and scratch, same epochs; 95 % intervals", title_justify="left")
    for heading in ("task", "data", "metric", "transfer", "scratch", "transfer minus scratch", "p", "seconds"):
        table.add_column(heading)
    for comparison in comparisons:
        first = comparison.verdicts[0]
        scores = [spoken(entry.scores(comparison.split, first.metric)) for entry in comparison.entries]
        seconds = " / ".join(f"{entry.cost()['seconds']:.0f}" for entry in comparison.entries)
        source = comparison.entries[0].results[0]["data"][comparison.split]["source"]
        difference = first.difference
        interval = "" if difference.low is None else f" ({difference.low:+.3f} to {difference.high:+.3f})"
        p = "-" if difference.p is None else f"{difference.p:.2g}"
        cells = [comparison.task, source, first.metric, *scores, f"{difference.value:+.3f}{interval}", p, seconds]
        table.add_row(*cells)
    Console().print(table)
