"""Any number of labels an example."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from mmtransfer.report.answers.base import Answers, Counts, Pair


class LabelSetAnswers(Answers):
    """The worst is the one with the most labels left out or invented; of equal ones that with the larger loss."""

    kind = "labels"
    worse_by: ClassVar[str] = "labels left out or invented"
    paired: ClassVar[str] = "Left out, invented, or one for the other"
    decided: ClassVar[str] = (
        "pairs of an example and a label: how likely the label was taken to be, and whether it was there"
    )

    @property
    def called(self) -> str:
        return "label"

    @cached_property
    def badness(self) -> np.ndarray:
        wrong = [len(set(truth) ^ set(answer)) for truth, answer in zip(self.truths, self.answers, strict=True)]
        loss = np.array(self.records.get("loss", [0.0] * len(self)), np.float64)
        return np.array(wrong, np.float64) + loss / (1.0 + loss)

    @cached_property
    def confidence(self) -> np.ndarray | None:
        """That of its labels of which it was least sure."""
        if self.logits is None:
            return None
        given = expit(np.abs(self.logits.astype(np.float64)))
        return np.asarray(given.min(1))

    def pairs(self) -> list[Pair]:
        of, given = Counter[str](), Counter[str]()
        found: Counter[tuple[str, str]] = Counter()
        for truth, answer in zip(map(set, self.truths), map(set, self.answers), strict=True):
            of.update(truth)
            given.update(answer)
            left, invented = truth - answer, answer - truth
            if len(left) == len(invented) == 1:
                found[left.pop(), invented.pop()] += 1
            else:
                found.update([(name, "") for name in left] + [("", name) for name in invented])
        pairs = [Pair(*pair, times, of[pair[0]] if pair[0] else given[pair[1]]) for pair, times in found.items()]
        return sorted(pairs, key=lambda pair: (-pair.times, pair.truth, pair.answer))

    def counts(self) -> list[Counts]:
        truths = Counter(name for own in self.truths for name in own)
        answers = Counter(name for own in self.answers for name in own)
        both = zip(self.truths, self.answers, strict=True)
        hits = Counter(name for truth, answer in both for name in set(truth) & set(answer))
        names = [*self.names, *sorted({*truths, *answers} - set(self.names))]
        return [Counts(name, truths[name], answers[name], hits[name]) for name in names]

    def reliability(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.logits is None or len(self.names) != self.logits.shape[1]:
            return None
        number = {name: place for place, name in enumerate(self.names)}
        there = np.zeros(self.logits.shape, bool)
        for row, truth in zip(there, self.truths, strict=True):
            row[[number[name] for name in truth if name in number]] = True
        return expit(self.logits.astype(np.float64)).ravel(), there.ravel()

    def spoken(self, answer: Any) -> str:
        return ", ".join(answer) or "(none)"
