"""What the words of several verbs have in common: columns of data, flags by their names, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mmtransfer.cli import help
from mmtransfer.cli.parsing import parsed
from mmtransfer.config import TASKS, flag
from mmtransfer.data.missing import refuse_absent
from mmtransfer.defaults import CASE
from mmtransfer.errors import MMTransferError, suggestion, unknown

PLACES = {"run", "runs", "input", "backbone", "data", "action", "keys", "what", "folder", "shell", "name"}
"""Fields that are told by their place, and have no flag."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Flags of verbs that read data."""

    text_column: str | None = None
    """Column with the text; the run's, or guessed, if None. So are the others."""
    pair_column: str | None = None
    """Column with the second text, of pairs."""
    words_column: str | None = None
    """Column with the words, a list."""
    file_column: str | None = None
    """Column with the file name, relative to the table, or its bytes."""

    def settings(self) -> dict[str, str]:
        """Those that were named, and how a transcript is found where the verb asks for it."""
        named = dataclasses.asdict(self).items()
        return {
            name: value for name, value in named if (name.endswith("_column") or name == "decode") and value is not None
        }


def task_of(words: Sequence[str], verb: str) -> tuple[str, list[str]]:
    """The task, which is the first of a verb's words, and the words behind it.

    Raises MMTransferError where that is no task, or a flag stands in its place.
    """
    where = f"mmtransfer {verb} TASK"
    if words[0].startswith("-"):
        raise MMTransferError("No task is named", where, f"name one before {words[0]}: {', '.join(TASKS)}")
    if words[0] not in TASKS:
        raise unknown("task", words[0], TASKS, where)
    return words[0], list(words[1:])


def parse(kind: type[Any], words: Sequence[str], verb: str, about: str) -> Any:
    """An object of the dataclass `kind` from the words of a verb; `about`: what its help says first.

    Raises MMTransferError for a flag that the verb does not have, and SystemExit after its help where that is asked
    for.
    """
    known = sorted(flag(field.name) for field in dataclasses.fields(kind) if field.name not in PLACES)
    for word in words:
        if word.startswith("--") and plain(word) not in (*known, *help.HELP):
            raise MMTransferError(f"Unknown option {plain(word)}", "the command line", suggestion(plain(word), known))
    program = f"mmtransfer {verb}"
    if help.asked(words):
        print(_help(kind, program, about))
        raise SystemExit(0)
    return parsed(kind, words, program)


def _help(kind: type[Any], program: str, about: str) -> str:
    """The help of a verb whose words are the fields of a dataclass: its own flags, and then the columns of data."""
    shared = {field.name for field in dataclasses.fields(Columns)} if issubclass(kind, Columns) else set()
    entries = [
        one._replace(group="columns of the data") if one.spelled[2:].replace("-", "_") in shared else one
        for one in help.of_dataclass(kind, [field.name for field in dataclasses.fields(kind) if field.name in PLACES])
    ]
    entries.sort(key=lambda one: ("words", "flags", "columns of the data").index(one.group))
    places = " ".join(f"{one.spelled} {one.value}".strip() for one in entries if one.group == "words")
    needed = " ".join(f"{one.spelled} {one.value}" for one in entries if one.about.endswith("Must be given."))
    usage = " ".join(part for part in (program, places, needed, "[flags]" if len(entries) > 1 else "") if part)
    return help.page(usage, about, entries)


def plain(word: str) -> str:
    """A flag as it is listed: without value, with dashes, without the no- of a boolean."""
    word = word.split("=", 1)[0].replace("_", "-")
    return "--" + word[5:] if word.startswith("--no-") else word


def refuse(words: Sequence[str], unread: Sequence[str], verb: str) -> None:
    """Raises MMTransferError for a flag of `fit` that a verb does not read.

    >>> refuse(["--train", "x"], ("--track",), "auto")
    """
    for word in words:
        if plain(word) in unread:
            raise MMTransferError(f"{verb} does not read {plain(word)}", "the command line", "leave it out")


def value_of(words: Sequence[str], name: str) -> str | None:
    """The value of a flag, None where it is not among the words."""
    for place, word in enumerate(words):
        if word == name and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return None


def taken(words: Sequence[str], name: str) -> tuple[list[str], list[str]]:
    """The values of a flag of one or more values, and the words without them.

    >>> taken(["--train", "x", "--folds=3", "--backbones", "a", "b"], "--backbones")
    (['a', 'b'], ['--train', 'x', '--folds=3'])
    """
    words = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{name}=") else [word])]
    if name not in words:
        return [], words
    start = words.index(name)
    stop = start + 1
    while stop < len(words) and not words[stop].startswith("--"):
        stop += 1
    return words[start + 1 : stop], [*words[:start], *words[stop:]]


def refuse_absent_data(settings: Mapping[str, Any]) -> None:
    """Raises MMTransferError for data that are not there, before the libraries are loaded that would read them."""
    for split in ("train", "validation", "test"):
        if settings.get(split) != CASE:
            refuse_absent(settings.get(split), f"--{split}")


def refuse_beside(flag: str, why: str, others: Mapping[str, bool]) -> None:
    """Raises MMTransferError for the first of the other flags that is given beside `flag`, which would not be read."""
    for other, given in others.items():
        if given:
            raise MMTransferError(f"{flag} and {other} exclude each other: {why}", "the command line", "leave one out")
