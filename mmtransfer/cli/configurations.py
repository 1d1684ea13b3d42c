"""A comparison on the terminal: a line a configuration, the best first, and what has been shown."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from mmtransfer.comparison import Comparison
from mmtransfer.report.exports import cells, rows_of
from mmtransfer.terminal import visible


def show(comparison: Comparison) -> None:
    """Prints a table that fits 80 columns where names are short."""
    note = "" if comparison.split == "test" else " (it chose the epochs: scores are a little too good)"
    rows = [cells(comparison, row) for row in rows_of(comparison)]
    columns = ("", f"{comparison.primary}, 95 % interval", "vs best", "s", "trained")
    table = Table(box=box.SIMPLE_HEAD, title=f"{comparison.task}, {comparison.split}{note}", title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place > 2 else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(visible, row))
    console = Console(markup=False)
    lengths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    # what is not a terminal has no width of its own: no line of the table is folded there
    console.print(table, width=None if console.is_terminal else max(80, sum(lengths) + 3 * len(columns)), crop=False)
