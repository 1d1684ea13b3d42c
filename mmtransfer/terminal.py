"""Names and labels on a terminal: what would move the cursor, hide or reorder text is shown as an escape.

File names and labels come from data, and data may come from anybody: an ESC in one of them is a command to the
terminal, a carriage return overwrites what stands before it, and a right-to-left override shows `gpj.exe` as `exe.jpg`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# controls (C0, DEL, C1), separators of lines, marks and overrides of direction, halves of surrogate pairs
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    r"""The text with control characters as escapes, `\x1b` or `\n`; those in `keep` are left."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return ascii(character)[1:-1]


def tolerate() -> None:
    """What the terminal's encoding does not have is printed as an escape as well, not refused with a trace."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a program has put something of its own in their place
            stream.reconfigure(errors="backslashreplace")


def console(stderr: bool = False) -> Console:
    """Where tables and bars are printed: without colours and styles where $NO_COLOR is set (no-color.org) or there
    is no terminal. What is printed is text, and no markup."""
    from rich.console import Console

    class Told(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end with status 1; `forget_output` is ours

    plain = bool(os.environ.get("NO_COLOR"))
    return Told(stderr=stderr, markup=False, highlight=False, color_system=None if plain else "auto")


def forget_output() -> None:
    """Nobody reads what is printed any more (a pipe to `head`): what is left goes nowhere, and no trace is shown."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # something of a program's own in its place
        return


class Formatter(logging.Formatter):
    """Lines of the log as they are, names in them by `visible`: only the message's own line ends are line ends."""

    def format(self, record: logging.LogRecord) -> str:
        args: Any = record.args
        if isinstance(args, tuple):
            args = tuple(visible(str(one)) if isinstance(one, str | PurePath) else one for one in args)
        message = str(record.msg) % args if args else str(record.msg)
        return visible(message, keep="\n\t")
