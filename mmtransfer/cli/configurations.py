"""A comparison on the terminal: a line a configuration, the best first."""

from __future__ import annotations

from mmtransfer.cli.layout import show_rows
from mmtransfer.comparison import Comparison
from mmtransfer.report.exports import cells, rows_of


def show(comparison: Comparison) -> None:
    """Prints the table."""
    note = "" if comparison.split == "test" else " (it chose the epochs: scores are a little too good)"
    columns = ("configuration", f"{comparison.primary}, 95 % interval", "vs best", "seconds", "trained")
    rows = [cells(comparison, row) for row in rows_of(comparison)]
    show_rows(f"{comparison.task}, {comparison.split}{note}", columns, rows, numbers=columns[3:])
