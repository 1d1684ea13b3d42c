"""A comparison on the terminal: a line a configuration, the best first."""

from __future__ import annotations

from mmtransfer.cli.layout import show_rows
from mmtransfer.comparison import Comparison
from mmtransfer.report.exports import cells, rows_of


def show(comparison: Comparison) -> None:
    """Prints the table."""
    note = "" if comparison.split == "test" else " (it chose the epochs: scores are a little too good)"
    columns = ("configuration", f"{comparison.primary} (95 %)", "vs best", "s", "trained")
    rows = [cells(comparison, row) for row in rows_of(comparison)]
    seeds = {len(entry.results) for entry in comparison.entries}
    mean = f", means of {seeds.pop()} seeds" if len(seeds) == 1 and seeds != {1} else ""
    show_rows(f"{comparison.task}, {comparison.split}{note}{mean}", columns, rows, numbers=columns[3:])
