"""What the command line prints of runs: tables of scores with their intervals."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmtransfer.terminal import visible


def show(run: Any) -> None:
    """The end of a run: scores with intervals, time, where it is and what to do with it."""
    if int(os.environ.get("RANK", "0")):
        return
    primary = run.result["primary"]["name"]
    for split, metrics in run.metrics.items():
        few = {name for name in metrics if name == primary or not name.endswith(("]", "_micro", "_weighted"))}
        show_scores(split, {name: score for name, score in metrics.items() if name in few})
    place = visible(str(run.folder.path))
    print(f"{run.result['seconds']['total']:.0f} s; the run is in {place}")
    print(f"next: mmtransfer predict {place} INPUT")


def show_spread(repeats: Any) -> None:
    """The end of several runs: the mean of each score, its interval, and the spread over the seeds."""
    from rich.console import Console
    from rich.table import Table

    if int(os.environ.get("RANK", "0")):
        return
    for split, metrics in repeats.metrics.items():
        title = f"{split}: {len(repeats.runs)} seeds"
        table = Table("metric", "mean", "95 % interval", "sd", "min", "max", title=title, title_justify="left")
        for name, spread in metrics.items():
            if not name.endswith(("]", "_micro", "_weighted")):
                cells = ["-" if spread[key] is None else f"{spread[key]:.4f}" for key in ("mean", "sd", "min", "max")]
                interval = "unknown" if spread["low"] is None else f"{spread['low']:.4f} to {spread['high']:.4f}"
                table.add_row(visible(name), cells[0], interval, *cells[1:])
        Console(markup=False).print(table)
    print(visible(f"the runs and repeats.json are in {repeats.folder}"))


def show_scores(split: str, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=visible(split), title_justify="left")
    for name, justify in (("metric", "left"), ("value", "right"), ("95 % interval", "right"), ("n", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, score in metrics.items():
        interval = "unknown" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"
        value = "-" if score["value"] is None else f"{score['value']:.4f}"
        table.add_row(visible(name), value, interval, str(score["n"]))
    Console(markup=False).print(table)  # f1[a] is a name, and no style


def show_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=visible(title), title_justify="left")
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(visible, row))
    Console(markup=False).print(table)
