"""One tag a word."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmtransfer.iob2 import is_iob2, spans
from mmtransfer.report.answers.base import Answers, Counts, Pair


class TagAnswers(Answers):
    """The worst is the one with the most wrong words. Classes are types of entities where tags are IOB2, else tags."""

    kind = "tags"
    worse_by: ClassVar[str] = "words with a wrong tag"
    decided: ClassVar[str] = "words, as if each stood alone"

    @property
    def called(self) -> str:
        return "type" if self.spans else "tag"

    @cached_property
    def spans(self) -> bool:
        """Whether the tags are IOB2."""
        return is_iob2({tag for own in self.truths for tag in own} | set(self.names))

    @cached_property
    def badness(self) -> np.ndarray:
        both = zip(self.truths, self.answers, strict=True)
        wrong = [sum(a != b for a, b in zip(truth, answer, strict=False)) for truth, answer in both]
        return np.array(wrong, np.float64)

    @cached_property
    def confidence(self) -> np.ndarray | None:
        known = self.records.get("confidence")
        return None if known is None else np.array(known, np.float64)

    def pairs(self) -> list[Pair]:
        """Of tags, O among them, over all words."""
        found: Counter[tuple[str, str]] = Counter()
        for truth, answer in zip(self.truths, self.answers, strict=True):
            found.update(zip(truth, answer, strict=False))
        of: Counter[str] = Counter()
        for (truth, _), times in found.items():
            of[truth] += times
        wrong = [Pair(*pair, times, of[pair[0]]) for pair, times in found.items() if pair[0] != pair[1]]
        return sorted(wrong, key=lambda pair: (-pair.times, pair.truth, pair.answer))

    def counts(self) -> list[Counts]:
        truths, answers, hits = Counter[str](), Counter[str](), Counter[str]()
        for truth, answer in zip(self.truths, self.answers, strict=True):
            own, given = self._items(truth), self._items(answer)
            truths.update(kind for kind, *_ in own)
            answers.update(kind for kind, *_ in given)
            hits.update(kind for kind, *_ in own & given)
        return [Counts(name, truths[name], answers[name], hits[name]) for name in sorted({*truths, *answers})]

    def _items(self, tags: list[str]) -> set[tuple[str, int, int]]:
        """What is counted of a row: its entities, or its tags with their places."""
        return set(spans(tags)) if self.spans else {(tag, place, place + 1) for place, tag in enumerate(tags)}

    def reliability(self) -> tuple[np.ndarray, np.ndarray] | None:
        known = self.records.get("confidences")  # of version 0.1 there is but a mean over the words of each row
        if known is None:
            return None
        rows = [
            (sure, truth == answer)
            for own in zip(known, self.truths, self.answers, strict=True)
            for sure, truth, answer in zip(*own, strict=False)
        ]
        return np.array([sure for sure, _ in rows], np.float64), np.array([right for _, right in rows], bool)

    def spoken(self, answer: Any) -> str:
        return " ".join(answer)
