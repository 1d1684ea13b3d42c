"""The inputs that a command line names: files, folders, tables, lines of standard input, texts; one or several."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtransfer.config import TASKS
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from mmtransfer.api import Run
    from mmtransfer.data.kinds import InputKind
    from mmtransfer.tasks import Prediction

STANDARD_INPUT = "-"
"""What stands for it, an input a line."""


def refuse_missing(run: Run, said: Sequence[str]) -> None:
    """Raises MMTransferError, before a model is loaded, where no input is named or a path leads nowhere."""
    from mmtransfer.data import sources
    from mmtransfer.data.given import is_words
    from mmtransfer.data.kinds import INPUTS

    kind = INPUTS[TASKS[run.config.task].input]
    if not said:
        raise MMTransferError(
            "There is nothing to predict",
            "INPUT",
            "name files, folders, tables, or - for standard input" + ("" if kind.in_files else "; or a text in quotes"),
        )
    for word in said:
        if word != STANDARD_INPUT and not is_words(word, kind):
            sources.refuse_missing(word, "the inputs", labelled=False)


def predictions(run: Run, said: Sequence[str]) -> list[Prediction]:
    """Those of all inputs, in their order.

    The ids of one input are those that `Run.predict` gives. Of several they begin with the input's own name: a file is
    called as it was named, a text by its number among the inputs, what lies in a folder or table FOLDER/ID or TABLE:ID.
    Files and texts that are named one by one are predicted together.
    """
    from mmtransfer.data.kinds import INPUTS

    kind = INPUTS[run.model.task.input.kind]
    if len(said) == 1:
        return _several(run, _source(said[0], kind))
    found: list[Prediction] = []
    loose: list[tuple[str, Any]] = []
    for number, word in enumerate(said):
        single = _single(number, word, kind)
        if single is not None:
            loose.append(single)
            continue
        found += _loose(run, loose)
        loose = []
        mark = "" if word.endswith(os.sep) else os.sep if os.path.isdir(word) else ":"
        found += [dataclasses.replace(one, id=f"{word}{mark}{one.id}") for one in _several(run, _source(word, kind))]
    return found + _loose(run, loose)


def _loose(run: Run, named: Sequence[tuple[str, Any]]) -> list[Prediction]:
    """Of inputs with names of their own, all at once."""
    if not named:
        return []
    found = _several(run, [value for _, value in named])
    return [dataclasses.replace(one, id=name) for one, (name, _) in zip(found, named, strict=True)]


def _several(run: Run, source: Any) -> list[Prediction]:
    found = run.predict(source)
    return found if isinstance(found, list) else [found]


def _single(number: int, word: str, kind: InputKind) -> tuple[str, Any] | None:
    """The name and the input of a word that is a text, or a file that holds one input; None for what holds many."""
    from mmtransfer.data.given import TABLES, is_words

    if word == STANDARD_INPUT:
        return None
    if is_words(word, kind):
        return str(number), kind.line(word)
    alone = kind.in_files and os.path.isfile(word) and Path(word).suffix.lower() not in TABLES
    return (word, Path(word)) if alone else None


def _source(word: str, kind: InputKind) -> Any:
    """What `Run.predict` takes for a word."""
    from mmtransfer.data.given import is_words

    if word == STANDARD_INPUT:
        return _lines(kind)
    return [kind.line(word)] if is_words(word, kind) else word


def _lines(kind: InputKind) -> list[Any]:
    """The inputs on the lines of standard input: texts, or paths; blank lines are left out."""
    lines = [line.rstrip("\r\n") for line in sys.stdin]
    kept = [line for line in lines if line.strip()]
    if not kept:
        raise MMTransferError("Standard input is empty", STANDARD_INPUT, f"give one of the {kind.called} a line")
    return [Path(line) if kind.in_files else kind.line(line) for line in kept]
