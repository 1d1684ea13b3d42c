"""Texts, and texts that come as lists of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from mmtransfer.data.kinds.base import InputKind


class Text(InputKind):
    """A text; where pairs are classified, the first or the second one."""

    name = "text"
    role = "text"
    usual = frozenset(
        {"text", "sentence", "content", "utterance", "question", "review", "document", "query", "message"}
    )
    arrow = pa.string()
    empty = ""
    wordy = True
    answer = "label"
    called = "texts"
    pairs = True

    def read_input(self, value: Any, base: Path, rate: int) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        raise ValueError(f"a text must be a str, not a {type(value).__name__}")

    def fault(self, value: str, max_seconds: float | None) -> str | None:
        return None if value.strip() else "the text is empty"

    def text(self, value: str) -> str:
        return value

    def line(self, text: str) -> str:
        return text


class Words(InputKind):
    """A text as a list of its words, each of which gets an answer of its own."""

    name = "words"
    role = "words"
    usual = frozenset({"words", "tokens"})
    arrow = pa.large_list(pa.string())
    empty: ClassVar[list[str]] = []
    answer = "tags"
    called = "lists of words"

    def read_input(self, value: Any, base: Path, rate: int) -> list[str]:
        if value is None or isinstance(value, str):
            raise ValueError("words must be a list of texts, not " + ("nothing" if value is None else "one text"))
        if not isinstance(value, list | tuple | np.ndarray):
            raise ValueError(f"words must be a list of texts, not a {type(value).__name__}")
        strange = next((word for word in value if not isinstance(word, str)), None)
        if strange is not None:
            raise ValueError(f"a word must be a str, not a {type(strange).__name__}")
        return [str(word) for word in value]

    def fault(self, value: list[str], max_seconds: float | None) -> str | None:
        if not value:
            return "there are no words"
        empty = next((number for number, word in enumerate(value, 1) if not word.strip()), None)
        return None if empty is None else f"word {empty} is empty"

    def text(self, value: list[str]) -> str:
        return " ".join(value)

    def line(self, text: str) -> list[str]:
        return text.split()
