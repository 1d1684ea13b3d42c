"""The help of a verb as plain text: its flags in groups, those that people set first before all others.

It fits the terminal: from 72 columns on a flag and what it does stand side by side, below that one under the other.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

HELP, HELP_ALL = ("-h", "--help", "--help-all"), "--help-all"
NARROW, WIDE = 72, 100
"""Columns: below the first a description stands under its flag, beyond the second lines are no longer."""
BESIDE = 28
"""Columns of the flags, where the descriptions stand beside them."""
WHOLE: Mapping[str, Any] = {"break_on_hyphens": False}
"""Flags are not broken at their dashes."""
LONGEST = 40
"""Characters of choices that are spelled out behind a flag; of longer ones the description tells."""
VALUES: Mapping[Any, str] = {int: "NUMBER", float: "NUMBER", str: "TEXT"}
NAMED: Mapping[str, str] = {
    "train": "DATA",
    "validation": "DATA",
    "test": "DATA",
    "config": "FILE",
    "backbone": "NAME",
    "weights": "NAME",
    "out": "PATH",
    "cache_dir": "FOLDER",
    "scored_on": "DATA",
}
"""Of values that are text, what kind of text it is."""


class Entry(NamedTuple):
    """A flag, or a word that has its place."""

    spelled: str
    value: str
    """A word for its value, empty for a switch."""
    about: str
    default: str = ""
    group: str = "flags"
    first: bool = False
    """Whether it is one of those that people set first."""


def asked(words: Sequence[str]) -> bool:
    """Whether the words of a command line ask for help."""
    return any(word in HELP for word in words)


def entry(name: str, spelled: str, kind: Any, default: Any, about: str, group: str = "flags") -> Entry:
    """The entry of a field. None, which stands for what nobody gave, is neither a type nor a default here; nor is told
    what only Python can give."""
    value = word_of(name, kind)
    usual = "" if default in (None, (), "") or not value else _told(default)
    about = re.sub(r",? or \(Python\)[^.]*", "", " ".join(about.split()))
    about = re.sub(r"\bif None\b", "if not given", about)
    choices = [str(one) for one in typing.get_args(kind)] if typing.get_origin(kind) is Literal else []
    if value == ANY and any(one not in about for one in choices):
        about += f" One of {', '.join(choices)}."
    return Entry(spelled, value, re.sub(r"\bNone: ", "not given: ", about), usual, group)


ANY = "NAME"
"""Stands for one of many names."""


def word_of(name: str, kind: Any) -> str:
    """What stands behind a flag in the help.

    >>> word_of("epochs", int | None), word_of("head", Literal["linear", "mlp"]), word_of("label_column", str)
    ('NUMBER', 'linear|mlp', 'COLUMN')
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        given = [extra.metavar for extra in inner[1:] if getattr(extra, "metavar", None)]
        return str(given[0]) if given else word_of(name, inner[0])
    if origin in (typing.Union, types.UnionType):
        words = dict.fromkeys(word_of(name, one) for one in inner if one is not types.NoneType)
        return "|".join(words)
    if origin is Literal:
        return word if len(word := "|".join(map(str, inner))) <= LONGEST else ANY
    if origin is tuple:
        several = inner[-1] is Ellipsis
        return f"{word_of(name, inner[0])} ..." if several else " ".join(word_of(name, one) for one in inner)
    if kind is bool:
        return ""
    if kind is str:
        return "COLUMN" if name.endswith("_column") else NAMED.get(name, "TEXT")
    return VALUES.get(kind, "VALUE")


def page(usage: str, about: str, entries: Sequence[Entry], all_of_them: bool = True, note: str = "") -> str:
    """The help of a verb. `all_of_them`: in groups; else those alone that people set first. `note`: the last lines."""
    width = _width()
    parts = [filled(f"usage: {usage}", width, 2), filled(about, width)]
    shown = [one for one in entries if all_of_them or one.first]
    for group in dict.fromkeys(one.group for one in shown):
        lines = [line for one in shown if one.group == group for line in _lines(one, width)]
        parts.append("\n".join([f"{group}:", *lines]))
    if note:
        parts.append(filled(note, width))
    return "\n\n".join(parts)


def of_dataclass(kind: type[Any], places: Sequence[str], group: str = "flags") -> Iterator[Entry]:
    """The entries of a dataclass; those named in `places` are words that have their place."""
    hints, documents = typing.get_type_hints(kind, include_extras=True), documents_of(kind)
    for field in dataclasses.fields(kind):
        name, needed = field.name, field.default is dataclasses.MISSING
        default = None if needed else field.default
        if name in places:
            one = entry(name, name.upper(), hints[name], default, documents[name], "words")
            yield one._replace(value="..." if one.value.endswith("...") else "", default="")
        else:
            spelled = "--" + name.replace("_", "-")
            one = entry(name, spelled, hints[name], default, documents[name], group)
            yield one._replace(about=one.about + (" Must be given." if needed else ""))


def documents_of(kind: type[Any]) -> dict[str, str]:
    """The docstrings under a dataclass's fields."""
    from tyro._docstrings import get_field_docstring  # the parser that tyro's own help uses

    return {field.name: get_field_docstring(kind, field.name, ()) or "" for field in dataclasses.fields(kind)}


def _width() -> int:
    return min(WIDE, shutil.get_terminal_size().columns) - 1


def _told(value: Any) -> str:
    return " ".join(map(_told, value)) if isinstance(value, tuple | list) else str(value)


def _lines(one: Entry, width: int) -> Iterator[str]:
    """A flag and what it does."""
    flag = f"  {one.spelled} {one.value}".rstrip()
    about = one.about + (f" (default: {one.default})" if one.default else "")
    if width + 1 < NARROW:
        yield flag
        yield from textwrap.wrap(about, width, initial_indent=" " * 6, subsequent_indent=" " * 6, **WHOLE)
        return
    lines = textwrap.wrap(about, width - BESIDE, **WHOLE) or [""]
    if len(flag) > BESIDE - 2:
        yield flag
    else:
        yield f"{flag:<{BESIDE}}{lines.pop(0)}".rstrip()
    yield from (" " * BESIDE + line for line in lines)


def filled(text: str, width: int = 0, indent: int = 0) -> str:
    """Paragraphs filled up to `width`, the terminal's if 0; lines that begin with blanks stay as they are."""
    width = width or _width()
    paragraphs = [
        line if line.startswith(" ") else textwrap.fill(line, width, subsequent_indent=" " * indent, **WHOLE)
        for line in text.split("\n")
    ]
    return "\n".join(paragraphs)
