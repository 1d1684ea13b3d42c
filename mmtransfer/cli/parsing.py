"""tyro reads the words of a verb; what it refuses is told as all other errors are, in three lines without a box."""

from __future__ import annotations

import contextlib
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from mmtransfer.cli.help import word_of
from mmtransfer.errors import MMTransferError, suggestion

WHERE = "the command line"


def parsed(kind: type[Any], words: Sequence[str], program: str) -> Any:
    """An object of the dataclass `kind`; raises MMTransferError for words that do not make one."""
    with _told(program):
        return tyro.cli(kind, args=list(words), prog=program)


@contextlib.contextmanager
def _told(program: str) -> Iterator[None]:
    """Errors of tyro as ours. Its hook for them is not promised to stay: without it tyro prints its own."""
    from tyro import _errors

    hook = getattr(_errors, "on_parse_error", None)
    if hook is None:
        yield
        return
    with hook(lambda event: _refuse(event, program)):
        yield


def _refuse(event: Any, program: str) -> None:
    """Raises the error for an event of tyro's; returns for one that is not known here, which tyro then prints."""
    more = f"`{program} --help` lists what can be said"
    kind, argument = type(event).__name__, getattr(event, "argument", None)
    if kind == "MissingArgs":
        missing = " and ".join(_spelled(context.arg) for context in event.missing_arguments)
        raise MMTransferError(f"`{program}` needs {missing}", WHERE, f"give it; {more}")
    if kind == "UnrecognizedArgs":
        words = ", ".join(map(repr, event.tokens))
        raise MMTransferError(f"`{program}` has no place for {words}", WHERE, f"put a flag before it; {more}")
    if argument is None:
        return
    name = _spelled(argument)
    if kind == "InvalidChoice":
        raise MMTransferError(f"{name} cannot be {event.value!r}", WHERE, suggestion(event.value, event.choices))
    if kind == "BadValue":
        raise MMTransferError(f"{name} has no value", WHERE, f"give one behind it; {more}")
    if kind == "InstantiationFailure":
        kinds = (argument.field.type_stripped, *typing.get_args(argument.field.type_stripped))
        expected = "a whole number" if int in kinds else "a number" if float in kinds else word_of("", kinds[0])
        found = re.search(r"'[^']*'$", event.message)
        not_this = f", not {found[0]}" if found else f" ({event.message})"
        raise MMTransferError(f"{name} must be {expected}{not_this}", WHERE, f"change the value; {more}")


def _spelled(argument: Any) -> str:
    if argument.is_positional():
        return str(argument.field.intern_name).upper()
    return str(argument.lowered.name_or_flags[0])
