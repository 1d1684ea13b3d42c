"""What a label column says: one class, several, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Kind = Literal["label", "labels", "value"]
"""What is to be predicted, named as the table's column: one class (str), any number of classes (sorted list of str),
a number (float)."""

SEPARATOR = "|"
"""Between the labels of one example, unless the user names another."""
EMPTY: dict[Kind, Any] = {"label": "", "labels": [], "value": math.nan}
"""What stands for an answer that cannot be used."""


def read(values: Sequence[Any], kind: Kind, separator: str = SEPARATOR) -> tuple[list[Any], dict[int, str]]:
    """Answers as the table holds them, and by number why some are none; those are empty.

    `values`: as a CSV (str) or Python gives them. Several labels are one string with `separator` between them, or a
    list; white space around each and repetitions are dropped, and there may be none. None and NaN are missing.
    """
    answers: list[Any] = []
    bad: dict[int, str] = {}
    for number, value in enumerate(values):
        try:
            answers.append(_READERS[kind](value, separator))
        except ValueError as error:
            answers.append(EMPTY[kind])
            bad[number] = str(error)
    return answers, bad


def string(value: Any) -> str:
    """A label or transcript; missing (None, NaN) is the empty one."""
    return "" if value is None or value != value else str(value)


def groups(values: Sequence[Any]) -> tuple[list[str | None], dict[int, str]]:
    """Names of groups, None where there is none, and by number why some cannot be names."""
    names: list[str | None] = []
    bad: dict[int, str] = {}
    for number, value in enumerate(values):
        try:
            names.append(string(value) or None)
        except ValueError as error:  # an integer of more digits than Python prints
            names.append(None)
            bad[number] = f"the group is no name ({error})"
    return names, bad


def _plain(value: Any) -> str:
    """As `string`; ValueError for what is no label though Python can print it."""
    if isinstance(value, dict | list | tuple | set | np.ndarray | bytes):
        raise ValueError(f"the label is not a string or a number but a {type(value).__name__}")
    return string(value)


def _one(value: Any, separator: str) -> str:
    if isinstance(value, list | tuple | set | np.ndarray):
        raise ValueError("the label is a list: --target multi-label takes several labels")
    return _plain(value)


def _several(value: Any, separator: str) -> list[str]:
    many = isinstance(value, list | tuple | set | np.ndarray)
    parts = map(_plain, value) if many else _plain(value).split(separator)
    return sorted({part.strip() for part in parts} - {""})


def _number(value: Any, separator: str) -> float:
    text = _plain(value).strip()
    if not text:
        raise ValueError("the label is empty")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"the label {text!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"the label {text!r} is not a finite number")
    return number


_READERS = {"label": _one, "labels": _several, "value": _number}
