"""What all kinds of answers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np


class Pair(NamedTuple):
    """What is taken for what."""

    truth: str
    """Empty for what is there without a cause: a label, or a word, that nobody gave."""
    answer: str
    """Empty for what has been left out."""
    times: int
    of: int
    """How often the truth occurs; of what is invented, how often it is answered."""


class Counts(NamedTuple):
    """What precision and recall of a class are made of."""

    name: str
    truths: int
    answers: int
    hits: int


class Answers(ABC):
    """Truths and answers of n examples."""

    kind: ClassVar[str]
    worse_by: ClassVar[str]
    """What makes one answer worse than another, in words."""
    paired: ClassVar[str] = "Taken for another"
    """What a list of `pairs` is called."""
    decided: ClassVar[str] = "answers"
    """What `reliability` counts."""
    unsure: ClassVar[str] = "The run has not stored how sure the model was, so this cannot be told."
    """Why there is no `reliability`, where there is none."""

    def __init__(
        self, records: Mapping[str, Sequence[Any]], logits: Callable[[], np.ndarray | None], names: Sequence[str]
    ) -> None:
        """`records`: columns of the predictions; `logits`: reads those, (n, outputs); `names`: of the outputs."""
        self.records, self._logits, self.names = records, logits, list(names)
        self.truths: list[Any] = list(records["target"])
        self.answers: list[Any] = list(records["prediction"])

    def __len__(self) -> int:
        return len(self.truths)

    @property
    def called(self) -> str:
        """What a row of the table of classes is."""
        return "class"

    @cached_property
    def logits(self) -> np.ndarray | None:
        """(n, outputs); None where they are not stored. They are read at first use: most questions need none."""
        return self._logits()

    @cached_property
    def right(self) -> np.ndarray:
        """bool (n,): whether the whole answer is right."""
        pairs = zip(self.truths, self.answers, strict=True)
        return np.fromiter((truth == answer for truth, answer in pairs), bool, len(self))

    @cached_property
    @abstractmethod
    def badness(self) -> np.ndarray:
        """float64 (n,): how wrong each answer is, by `worse_by`; more is worse."""

    @cached_property
    def confidence(self) -> np.ndarray | None:
        """float64 (n,): how sure the model was, 0 to 1; None where that is not known."""
        return None

    @cached_property
    def order(self) -> np.ndarray:
        """int64 (n,): the examples, the most wrong first; among wrong and among right ones by badness."""
        return np.lexsort((np.arange(len(self)), -self.badness, self.right))

    def pairs(self) -> list[Pair]:
        """What is taken for what, the most frequent first; none where answers are no classes or words."""
        return []

    def counts(self) -> list[Counts]:
        """Of each class, in the order of `names`; none where answers are no classes."""
        return []

    def reliability(self) -> tuple[np.ndarray, np.ndarray] | None:
        """How sure the model was of each decision, and whether it was right: (decisions,) each; None where that is not
        known."""
        return None

    @abstractmethod
    def spoken(self, answer: Any) -> str:
        """A truth or an answer as text."""


def softmax(logits: np.ndarray, log_sum: np.ndarray | None = None) -> np.ndarray:
    """Probabilities (n, outputs); `log_sum`: of all outputs, where only some are stored."""
    wide = logits.astype(np.float64)
    if log_sum is None:
        top = wide.max(1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(wide - top).sum(1))
    return np.asarray(np.exp(wide - log_sum[:, None]))
