"""How the command line prints rows and records: tables that fit the terminal, or JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mmtransfer import launcher
from mmtransfer.terminal import console, visible

FOLDED = 24
"""A cell of more characters may be folded, to so many columns at the least; where that does not do, each row is told as
lines of its own."""
LONGEST = 40
"""A longer word, such as a path, may be broken."""


def show_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Prints rows under their columns, within the terminal's width, 80 columns where there is none.

    Where they are too wide long cells are folded, and where that does not do, each row is a few lines of
    `column: cell`. `numbers`: columns that are set to the right.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    out = console()
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [_least(column) for column in zip(columns, *cells, strict=True)]
    least = sum(widths) + len(widths) - 1
    if cells and least > out.width:
        print(visible(title), *(_record(columns, row, out.width) for row in cells), sep="\n\n", end="\n\n")
        return
    gap = 1 if least + len(widths) <= out.width else 0  # beside the one that the box has
    style: dict[str, Any] = {"box": box.SIMPLE, "show_edge": False}
    style |= {"pad_edge": False, "padding": (0, gap, 0, 0)}
    out.print(Text(visible(title), style="bold"))  # a table would fold it within its own width
    table = Table(show_header=any(columns), **style)
    for name, narrowest, *column in zip(columns, widths, *cells, strict=True):
        justify = "right" if name in numbers else "left"
        whole = all(cell_len(cell) <= narrowest for cell in column)
        table.add_column(name, justify=justify, no_wrap=whole, overflow="fold")  # type: ignore[arg-type]
    for row in cells:
        table.add_row(*row)
    out.print(table)
    print()


def _least(column: Sequence[str]) -> int:
    """The columns of a terminal that cells need: short ones stay whole, long ones may be folded between words."""
    from rich.cells import cell_len

    words = max((cell_len(word) for cell in column for word in cell.split()), default=0)
    return min(max(map(cell_len, column)), max(FOLDED, words if words <= LONGEST else 0))


def _record(columns: Sequence[str], row: Sequence[str], room: int) -> str:
    """A row as lines, the first of them further out."""
    told = [f"{name}: {cell}" if name else cell for name, cell in zip(columns, row, strict=True) if cell]
    lines = [textwrap.fill(line, room, initial_indent=" " * 4, subsequent_indent=" " * 6) for line in told]
    return "\n".join(lines)[2:]


def show_line(text: str, beside: str = "") -> None:
    """Prints a line of prose; on a terminal it is folded between words, the rest further in. `beside`: blanks before
    it."""
    out, text = console(), beside + visible(text)
    if out.is_terminal:
        text = textwrap.fill(text, out.width - 1, subsequent_indent=f"{beside}  ", break_long_words=False)
    print(text)


def show_json(value: Any) -> None:
    """Prints a value as JSON, by the main process; what would confuse a terminal is escaped in it."""
    if not launcher.is_main():
        return
    text = json.dumps(_plain(value), ensure_ascii=False, indent=1)
    print(text if visible(text, keep="\n") == text else json.dumps(_plain(value), indent=1))


def _plain(value: Any) -> Any:
    """What JSON holds: of dataclasses their fields, of numbers that it does not know null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
