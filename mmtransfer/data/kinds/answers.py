"""What is to be predicted of an example, as a column says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from mmtransfer.data.kinds.audio import ARRAY
from mmtransfer.data.kinds.base import AnswerKind, plain_text

LIST = list | tuple | set | np.ndarray


class Label(AnswerKind):
    """One class, str."""

    name = "label"
    role = "label"
    usual = frozenset({"label", "category", "class", "intent", "target", "labels", "sentiment", "topic"})
    arrow = pa.string()
    empty: ClassVar[Any] = ""

    def read_answer(self, value: Any, separator: str) -> Any:
        if isinstance(value, LIST):
            raise ValueError("the label is a list: --target multi-label takes several labels")
        return plain_text(value, self.role)

    def fault(self, answer: str, value: Any) -> str | None:
        return None if answer.strip() else f"the {self.role} is empty"

    def classes(self, answer: str) -> Sequence[str]:
        return (answer,)

    def spelled(self, answer: str, plain: Callable[[str], str]) -> str:
        return plain(answer)


class Labels(AnswerKind):
    """Any number of classes, a sorted list of str: one string with a separator, or a list.

    White space around each and repetitions are dropped; there may be none.
    """

    name = "labels"
    role = Label.role
    usual = Label.usual
    arrow = pa.large_list(pa.string())
    empty: ClassVar[list[str]] = []

    def read_answer(self, value: Any, separator: str) -> list[str]:
        if isinstance(value, LIST):
            parts = [plain_text(part, self.role) for part in value]
        else:
            parts = plain_text(value, self.role).split(separator)
        return sorted({part.strip() for part in parts} - {""})

    def classes(self, answer: list[str]) -> Sequence[str]:
        return answer

    def spelled(self, answer: list[str], plain: Callable[[str], str]) -> tuple[str, ...]:
        return tuple(sorted(map(plain, answer)))


class Value(AnswerKind):
    """A real number, finite."""

    name = "value"
    role = Label.role
    usual = Label.usual
    arrow = pa.float64()
    empty = math.nan

    def read_answer(self, value: Any, separator: str) -> float:
        text = plain_text(value, self.role).strip()
        if not text:
            raise ValueError("the label is empty")
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"the label {text!r} is not a number") from None
        if not math.isfinite(number):
            raise ValueError(f"the label {text!r} is not a finite number")
        return number


class Transcript(Label):
    """What is said in a recording, str."""

    name = "transcript"
    digested = "text"
    beside = True
    role = "transcript"
    usual = frozenset({"text", "transcript", "transcription", "sentence", "utterance", "transcripts"})

    def read_answer(self, value: Any, separator: str) -> str:
        return plain_text(value, self.role)

    def classes(self, answer: str) -> Sequence[str]:
        return ()

    def misplaced(self, value: Any, answer: Any) -> str | None:
        """(samples, rate) without a transcript looks like a pair of a recording and its answer."""
        if isinstance(value, ARRAY) and not isinstance(answer, str):
            return "there is no transcript: give ((samples, rate), transcript)"
        return None


class Tags(AnswerKind):
    """One label a word, a list of str as long as the words."""

    name = "tags"
    role = "tags"
    usual = frozenset({"tags", "ner_tags", "pos_tags", "chunk_tags", "labels"})
    arrow = pa.large_list(pa.string())
    empty: ClassVar[list[str]] = []

    def read_answer(self, value: Any, separator: str) -> list[str]:
        if not isinstance(value, list | tuple | np.ndarray):
            called = "nothing" if value is None else f"a {type(value).__name__}"
            raise ValueError(f"tags must be a list, one a word, not {called}")
        return [plain_text(tag, "tag") for tag in value]

    def fault(self, answer: list[str], value: list[str]) -> str | None:
        if len(answer) != len(value):
            return f"there are {len(answer)} tags for {len(value)} words"
        empty = next((number for number, tag in enumerate(answer, 1) if not tag.strip()), None)
        return None if empty is None else f"the tag of word {empty} is empty"

    def classes(self, answer: list[str]) -> Sequence[str]:
        return answer

    def spelled(self, answer: list[str], plain: Callable[[str], str]) -> tuple[str, ...]:
        return tuple(map(plain, answer))
