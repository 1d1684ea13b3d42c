"""JSON files that somebody may have edited: read as what they should be, or refused by what is wrong in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmtransfer import files

PROGRAM = "mmtransfer"
"""What files of a run say of who wrote them."""

Form = Any
"""What a value must be:
  int, float, str, bool   a whole number, any number, a text, a truth value; None: null
  (a, b)                  one of several forms
  [a]                     a list of values of one form
  {"x": a, "y?": b}       an object with x and, if it has one, a y of these forms; {str: a}: all its other values
"""
LARGEST = 2**63
"""Whole numbers beyond it count nothing that there is."""
CALLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def load_json(path: Path) -> Any:
    """The value in a JSON file; OSError, or ValueError if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("Not a JSON file that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"Not a JSON file: {error}") from None


def read_json(path: Path, form: Mapping[Any, Form]) -> dict[str, Any]:
    """The object in a JSON file; OSError, or ValueError that says what is not as `form` has it."""
    value = load_json(path)
    check(value, form)
    return dict(value)


def check(value: Any, form: Form, name: str = "") -> None:
    """Raises ValueError, which names the place, for a value that has not this form."""
    if isinstance(form, tuple):
        if not any(_fits(value, option) for option in form):
            for option in form:  # of an object, or a list, it is told what is wrong inside
                if isinstance(option, list | Mapping) and type(option) is type(value):
                    check(value, option, name)
            raise _other(name, form, value)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise _other(name, form, value)
        for number, item in enumerate(value):
            check(item, form[0], f"{name}[{number}]")
    elif isinstance(form, Mapping):
        if not isinstance(value, dict):
            raise _other(name, form, value)
        _check_object(value, form, f"{name}." if name else "")
    elif not _is(value, form):
        raise _other(name, form, value)


def _check_object(value: Mapping[str, Any], form: Mapping[Any, Form], prefix: str) -> None:
    named = {key.removesuffix("?"): own for key, own in form.items() if key is not str}
    for key in form:
        if key is not str and not key.endswith("?") and key not in value:
            raise ValueError(f"{prefix}{key} is missing")
    for key, item in value.items():
        if key in named:
            check(item, named[key], f"{prefix}{key}")
        elif str in form:
            check(item, form[str], f"{prefix}{key}")


def _fits(value: Any, form: Form) -> bool:
    try:
        check(value, form)
    except ValueError:
        return False
    return True


def _is(value: Any, form: Form) -> bool:
    if form is None or form is bool or form is str:
        return value is None if form is None else isinstance(value, form)
    number = isinstance(value, int | float if form is float else int) and not isinstance(value, bool)
    return number and (isinstance(value, float) or abs(value) < LARGEST)


def _other(name: str, form: Form, value: Any) -> ValueError:
    told = repr(value)
    return ValueError(f"{name or 'it'} must be {_called(form)}, not {told if len(told) < 60 else told[:57] + '...'}")


def _called(form: Form) -> str:
    if isinstance(form, tuple):
        return " or ".join(map(_called, form))
    if form is None:
        return "null"
    return "a list" if isinstance(form, list) else "an object" if isinstance(form, Mapping) else CALLED[form]


def write(
    path: Path, content: Mapping[str, Any], default: Callable[[Any], Any] | None = None, shared: bool = False
) -> None:
    """Writes JSON, whole or not at all; `default` as of `encoded`, `shared` as of `files.replacing`."""
    files.write_bytes(path, encoded(content, default), shared)


def encoded(content: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON as a file holds it; `default`: what stands for a value that JSON does not know."""
    try:
        return json.dumps(content, indent=2, ensure_ascii=False, default=default).encode() + b"\n"
    except UnicodeEncodeError:  # a name that is no UTF-8
        return json.dumps(content, indent=2, default=default).encode() + b"\n"
