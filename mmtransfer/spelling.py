"""Options in messages: written as the flags of the command line, told to Python as arguments.

Whoever raises an error writes `--train DATA`, and cannot know who reads it. On the command line the text stays as it
is; elsewhere it becomes `train=DATA`, and a command such as `mmtransfer fit TASK --out X` a call. What is no argument
of Python (`--config`, options of other programs) stays as it is everywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import typing
from collections.abc import Iterator
from typing import Any

_PYTHON = True
"""Whether messages are for Python; the command line says otherwise for as long as it runs."""
_SWITCHES = {"all-pairs", "dry-run"}
"""Names of flags without a value: those of functions that take no settings, and what `learn` adds."""
_VALUED = {"backbones", "folds", "prefer", "max-parameters"}
"""Names of flags with a value, likewise."""
_WORDS = {"builtin", "none"}
"""Plain words that are values; any other plain word after a flag belongs to the sentence."""

_STRATEGY = "strategy."
_FLAG = r"(?<![\w'\"/-])--([a-z][a-z.-]*[a-z])(?![\w-])"
_VALUE = r"'[^']*'|[^\s,;()`'-][^\s,;()`]*"
_OPTION = re.compile(rf"{_FLAG}(?: ({_VALUE}))?")
_COMMAND = re.compile(
    r"mmtransfer (fit|predict|evaluate|embed|compare|demo|rank|auto|soup|cache)\b"
    r"((?:(?![,;)](?:\s|$)| or | and )[^\n`])*)"
)
_SIDE_BY_SIDE = re.compile("\1 \0")
"""Between two arguments that nothing but a space parts: each is put between a \\0 and a \\1 at first."""


def learn(settings: type[Any], *words: str) -> None:
    """Takes the fields of a dataclass as names of arguments; their choices, and `words`, as values."""
    for name, hint in typing.get_type_hints(settings).items():
        (_SWITCHES if hint is bool else _VALUED).add(name.replace("_", "-"))
        _WORDS.update(_choices(hint))
    _WORDS.update(words)


def _choices(hint: Any) -> Iterator[str]:
    """The strings of all Literals in an annotation."""
    for inner in typing.get_args(hint):
        if isinstance(inner, str):
            yield inner
        else:
            yield from _choices(inner)


@contextlib.contextmanager
def as_flags() -> Iterator[None]:
    """Messages made inside are for the command line."""
    global _PYTHON
    before, _PYTHON = _PYTHON, False
    try:
        yield
    finally:
        _PYTHON = before


def message(what: str, where: str, do: str) -> str:
    """The text of an error, as its reader spells options."""
    if not _PYTHON:
        return f"{what}\n  where: {where}\n  do: {do}"
    return f"{_spelled(what)}\n  where: {_place(where)}\n  do: {_spelled(do)}"


def _spelled(text: str) -> str:
    """A text with the arguments and calls of Python."""
    parts, end = [], 0
    for command in _COMMAND.finditer(text):
        parts += [_OPTION.sub(_option, text[end : command.start()]), _call(command)]
        end = command.end()
    parts.append(_OPTION.sub(_option, text[end:]))
    return _SIDE_BY_SIDE.sub(", ", "".join(parts)).replace("\0", "").replace("\1", "")


def _option(match: re.Match[str]) -> str:
    """A flag, with the word after it if that is its value."""
    name, word = match[1], match[2] or ""
    value = word if word.endswith("...") else word.rstrip(".:")
    rest = f" {word}" if word else ""
    if name in _SWITCHES:
        # "--skip-bad must be true or false" is of the argument, "leave them out with --skip-bad" of its use
        return f"\0{_argument(name, '' if word == 'must' else 'True')}\1{rest}"
    if not _is_valued(name):
        return match[0]
    if _is_value(value):
        return f"\0{_argument(name, _literal(value))}\1{word.removeprefix(value)}"
    return f"\0{_argument(name, '')}\1{rest}"


def _place(where: str) -> str:
    """What stands after a flag here is its value, up to a comma: a path may have spaces."""
    if where == "the command line":
        return "the arguments"
    found = re.fullmatch(rf"{_FLAG} (?!of |with |and )([^,]+)(, .*)?", where)
    if found is None or not _is_valued(found[1]):
        return _spelled(where)
    rest = f", {_place(found[3][2:])}" if found[3] else ""
    return _argument(found[1], _literal(found[2])) + rest


def _call(command: re.Match[str]) -> str:
    """A command of the command line as a call, where it is one; otherwise the command itself."""
    verb, words = command[1], command[2].split()
    own, options = list(itertools.takewhile(lambda word: not word.startswith("--"), words)), []
    for name, value in re.findall(r"--(\S+)((?: (?!--)\S+)*)", command[2]):
        if name not in _SWITCHES and not _is_valued(name):
            return command[0]
        options.append((name, "True" if name in _SWITCHES else _literal(value.strip() or "...")))
    if verb == "fit" and len(own) == 1:
        arguments = [f"task={_literal(own[0])}", *(_argument(name, value) for name, value in options)]
        return f"mmtransfer.fit({', '.join(arguments)})"
    if verb == "compare" and own and {name for name, _ in options} <= {"all-pairs"}:
        arguments = [f"[{', '.join(map(_literal, own))}]", *(_argument(name, value) for name, value in options)]
        return f"mmtransfer.compare({', '.join(arguments)})"
    if verb == "evaluate" and len(own) == 1 and [name for name, _ in options] == ["test"]:
        return f"mmtransfer.load({_literal(own[0])}).evaluate({options[0][1]})"
    return command[0]


def _is_valued(name: str) -> bool:
    return name in _VALUED or name.startswith(_STRATEGY)


def _is_value(word: str) -> bool:
    """Whether a word after a flag is its value: a number, a quotation, a PLACEHOLDER, a path, or a choice."""
    return word in _WORDS or (bool(word) and (word.isupper() or not word.isalpha()))


def _argument(name: str, value: str) -> str:
    """An argument with its value, which is empty where the text has none."""
    if name.startswith(_STRATEGY):
        return f"strategy_options={{{name.removeprefix(_STRATEGY).replace('-', '_')!r}: {value or '...'}}}"
    return f"{name.replace('-', '_')}={value}"


def _literal(value: str) -> str:
    """A value as Python writes it: numbers, quotations, PLACEHOLDERS and what is no text as they are."""
    bare = value.startswith(("'", '"', "python:")) or value == "..." or value.isupper()
    return value if bare or re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", value) else repr(value)
