"""A transcript of what is said."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmtransfer.metrics.edits import pairs
from mmtransfer.report.answers.base import Answers, Pair


class TranscriptAnswers(Answers):
    """The worst is the one with the most edits of words."""

    kind = "transcript"
    worse_by: ClassVar[str] = "words heard wrong"
    paired: ClassVar[str] = "Heard for another, left out, or put in"
    decided: ClassVar[str] = "words that were heard, each with the confidence of its recording"

    @cached_property
    def aligned(self) -> list[list[tuple[str | None, str | None]]]:
        """(said, heard) of each recording, word by word."""
        both = zip(self.truths, self.answers, strict=True)
        return [pairs(truth, answer) for truth, answer in both]

    @cached_property
    def edits(self) -> np.ndarray:
        """int64 (n,)"""
        return np.array([sum(said != heard for said, heard in own) for own in self.aligned], np.int64)

    @cached_property
    def words(self) -> np.ndarray:
        """int64 (n,): words of each reference."""
        return np.array([len(truth.split()) for truth in self.truths], np.int64)

    @cached_property
    def right(self) -> np.ndarray:
        return self.edits == 0

    @cached_property
    def badness(self) -> np.ndarray:
        return self.edits + self.edits / (self.words + self.edits + 1.0)

    @cached_property
    def confidence(self) -> np.ndarray | None:
        known = self.records.get("confidence")
        return None if known is None else np.array(known, np.float64)

    def pairs(self) -> list[Pair]:
        found = Counter(pair for own in self.aligned for pair in own)
        said, heard = Counter[str](), Counter[str]()
        for (word, other), times in found.items():
            said[word or ""] += times
            heard[other or ""] += times
        wrong = [
            Pair(word or "", other or "", times, said[word] if word else heard[other or ""])
            for (word, other), times in found.items()
            if word != other
        ]
        return sorted(wrong, key=lambda pair: (-pair.times, pair.truth, pair.answer))

    def reliability(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.confidence is None:
            return None
        heard = [[said == word for said, word in own if word is not None] for own in self.aligned]
        right = np.array([one for own in heard for one in own], bool)
        return np.repeat(self.confidence, [len(own) for own in heard]), right

    def spoken(self, answer: Any) -> str:
        return str(answer)
