"""One label an example."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmtransfer.report.answers.base import Answers, Counts, Pair, softmax


class LabelAnswers(Answers):
    """The worst is the one that gives its true class the least probability."""

    kind = "label"
    worse_by: ClassVar[str] = "how little was given to the truth"

    @cached_property
    def _probabilities(self) -> np.ndarray | None:
        if self.logits is None or not len(self.logits):
            return None
        sums = self.records.get("log_sum")
        return softmax(self.logits, None if sums is None else np.array(sums, np.float64))

    @cached_property
    def confidence(self) -> np.ndarray | None:
        return None if self._probabilities is None else self._probabilities.max(1).clip(0, 1)

    def likeliest(self, place: int, most: int = 3) -> list[tuple[str, float]]:
        """The likeliest classes of an example with their probabilities; none where those are not known."""
        ranked = self.records.get("top5")
        if ranked is None or self._probabilities is None:
            return []
        shares = np.sort(self._probabilities[place])[::-1]
        return list(zip(ranked[place][:most], shares[:most].tolist(), strict=False))

    @cached_property
    def of_truth(self) -> np.ndarray | None:
        """float64 (n,): the probability of the true class."""
        loss = self.records.get("loss")
        return None if loss is None else np.exp(-np.array(loss, np.float64)).clip(0, 1)

    @cached_property
    def badness(self) -> np.ndarray:
        if self.of_truth is not None:
            return 1.0 - self.of_truth
        if self.confidence is not None:
            return np.where(self.right, 1.0 - self.confidence, self.confidence)
        return (~self.right).astype(np.float64)

    @cached_property
    def classes(self) -> list[str]:
        """All that occur, those that the run knows first."""
        seen = {*self.truths, *self.answers}
        return [*self.names, *sorted(seen - set(self.names))]

    @cached_property
    def matrix(self) -> dict[tuple[str, str], int]:
        """How often (truth, answer) occur together."""
        return dict(Counter(zip(self.truths, self.answers, strict=True)))

    def pairs(self) -> list[Pair]:
        of = Counter(self.truths)
        wrong = [Pair(*pair, times, of[pair[0]]) for pair, times in self.matrix.items() if pair[0] != pair[1]]
        return sorted(wrong, key=lambda pair: (-pair.times, -pair.times / pair.of, pair.truth, pair.answer))

    def counts(self) -> list[Counts]:
        truths, answers = Counter(self.truths), Counter(self.answers)
        return [Counts(name, truths[name], answers[name], self.matrix.get((name, name), 0)) for name in self.classes]

    def reliability(self) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self.confidence is None else (self.confidence, self.right)

    def spoken(self, answer: Any) -> str:
        return str(answer)
