"""Strings that no file can hold: names that are not UTF-8, and halves of characters, which JSON lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmtransfer.data.checks import Draft


def fault(text: str) -> str | None:
    """Why a string cannot be written as UTF-8; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file name that is not UTF-8
            return f"is not UTF-8 (byte {code - 0xDC00:#x})"
        return f"holds half of a character (U+{code:X})"
    return None


def escaped(text: str) -> str:
    """The string with what cannot be written as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def screen(draft: Draft) -> None:
    """Makes examples bad whose name, input, answer or group cannot be written; their strings are escaped, so that
    messages and records can name them."""
    draft.places = [escaped(place) for place in draft.places]
    draft.ids = _screened(draft, draft.ids, "name")
    draft.inputs = _screened(draft, draft.inputs, "input")
    if draft.pairs is not None:
        draft.pairs = _screened(draft, draft.pairs, "second text")
    if draft.answers is not None:
        draft.answers = _screened(draft, draft.answers, "answer")
    if draft.groups is not None:
        draft.groups = _screened(draft, draft.groups, "group")


def _screened(draft: Draft, values: Any, called: str) -> list[Any]:
    screened = list(values)
    for number, value in enumerate(screened):
        reason = next(filter(None, map(fault, _strings(value))), None)
        if reason is not None:
            draft.bad.setdefault(number, f"the {called} {reason}")
            screened[number] = _mapped(value, escaped)
    return screened


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in parts if isinstance(part, str)]


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: change(part) if isinstance(part, str) else part for name, part in value.items()}
    return [change(part) if isinstance(part, str) else part for part in value]
