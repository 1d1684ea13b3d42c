"""Word and character error rates as streaming `evaluate.Metric`s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import paired
from mmtransfer.metrics.crossed import Drawn
from mmtransfer.metrics.edits import align, composed
from mmtransfer.metrics.intervals import Score, jackknife
from mmtransfer.metrics.paired import Difference
from mmtransfer.metrics.streaming import Columns, StreamingMetric

ONE_SPEAKER = "recording (one speaker, so it tells nothing of others)"
"""The unit of intervals where all words are of one speaker."""


class WER(StreamingMetric):
    """Word error rate: edits over reference words, pooled over all recordings, with a jackknife by speaker.

    Both sides are put into Unicode's NFC; words are what white space separates; case counts. The words inserted for an
    empty reference are edits. Kept are (edits, words) of each speaker, or of each recording where speakers are unknown
    or all words are one speaker's (`method` says which), and the totals `substitutions`, `deletions`, `insertions`.

    >>> WER().compute(predictions=["the cat sat", "a dog"], references=["the cat sat down", "the dog"])
    {'wer': 0.3333333333333333}
    """

    higher_is_better = False
    takes = "predictions (n,) and references (n,): texts; groups (n,): speakers, may be None."
    value_type = reference_type = datasets.Value("string")
    label = "wer"
    stored = ("wer",)
    columns: ClassVar[tuple[str, ...]] = ("words", "substitutions", "deletions", "insertions")
    counted = "reference words"

    def reset(self) -> None:
        self.recordings = 0
        self.substitutions = self.deletions = self.insertions = 0
        #: (edits, words) by speaker, or by the number of a recording without one.
        self.groups: dict[str | int, tuple[int, int]] = {}
        #: (edits, words) of every recording, while all words are of one group; None from the second group on.
        self.alone: list[tuple[int, int]] | None = []
        #: groups that have words, the first two of them.
        self._speaking: set[str | int] = set()

    def __len__(self) -> int:
        return self.recordings

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        """Units are speakers; of recordings without one, and of one speaker alone, the recordings."""
        counted, unit = [], ""
        for run in runs:
            metric = cls()
            metric.add_batch(predictions=run["prediction"], references=run["target"], groups=run.get("speaker"))
            counts, unit = metric.units()
            counted.append(np.array(counts, np.float64))
        edits, words = np.stack([one[:, 0] for one in counted]), counted[0][:, 1]

        def statistic(weights: np.ndarray) -> np.ndarray:
            return weights @ edits.T / np.maximum(weights @ words, 1e-9)[:, None]

        return Drawn(statistic, len(words), False, unit)

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        edits = [[cls._edits(run) for run in runs] for runs in (first, second)]
        lengths = cls._lengths(first[0])
        return paired.jackknife_difference(edits[0], edits[1], lengths, *_groups(first[0].get("speaker"), lengths))

    @classmethod
    def _edits(cls, run: Columns) -> np.ndarray:
        """(n,): edits of each recording."""
        return np.array(run["substitutions"]) + np.array(run["deletions"]) + np.array(run["insertions"])

    @classmethod
    def _lengths(cls, run: Columns) -> np.ndarray:
        """(n,): words of each recording's reference."""
        return np.array(run["words"])

    @staticmethod
    def _tokens(text: str) -> Sequence[str]:
        return text.split()

    def add(self, *, prediction: Any = None, reference: Any = None, group: str | None = None, **plural: Any) -> None:
        """Counts one recording, of speaker `group` if known."""
        super().add(prediction=prediction, reference=reference, groups=group, **plural)

    def add_batch(
        self, *, predictions: Any = None, references: Any = None, groups: Sequence[str | None] | None = None
    ) -> None:
        """Counts a batch of texts; `groups` are their speakers, None where unknown."""
        self._check_lengths(predictions, references)
        if groups is None:
            groups = [None] * len(references)
        if len(groups) != len(references):
            raise MMTransferError(
                f"{len(groups)} groups for {len(references)} references",
                f"the metric {self.name}",
                f"give {self.takes}",
            )
        for text in (*predictions, *references):
            if not isinstance(text, str):
                raise MMTransferError(
                    f"{text!r} is of type {type(text).__name__}, not a text",
                    f"the metric {self.name}",
                    f"give {self.takes}",
                )
        self._begin()
        for prediction, reference, group in zip(predictions, references, groups, strict=True):
            self._add_recording(prediction, reference, group)

    def _add_recording(self, prediction: str, reference: str, group: str | None) -> None:
        tokens = self._tokens(composed(reference))
        edits = align(tokens, self._tokens(composed(prediction)))
        self.substitutions += edits.substitutions
        self.deletions += edits.deletions
        self.insertions += edits.insertions
        key = self.recordings if group is None else str(group)
        before = self.groups.get(key, (0, 0))
        self.groups[key] = (before[0] + edits.total, before[1] + len(tokens))
        self.recordings += 1
        if self.alone is not None:
            self.alone.append((edits.total, len(tokens)))
            if tokens:
                self._speaking.add(key)
            if len(self._speaking) > 1:
                self.alone = None

    def _compute(self) -> dict[str, float]:
        edits, words = np.array(list(self.groups.values())).sum(0).tolist()
        if not words:
            raise MMTransferError(
                "All references are empty, so there is nothing to divide by", f"the metric {self.name}", "give texts"
            )
        return {self.label: edits / words}

    def scores(self) -> dict[str, Score]:
        """`wer` (`cer`) with its interval; n is the number of reference words (characters)."""
        self._check_counted()
        counts, unit = self.units()
        edits, words = zip(*counts, strict=True)
        return {self.label: jackknife(edits, words, unit)}

    def units(self) -> tuple[list[tuple[int, int]], str]:
        """(edits, words) of what the interval takes as independent of each other, and what that is."""
        named = {type(key) is str for key in self.groups}
        if self.alone is not None and True in named:
            return self.alone, ONE_SPEAKER
        unit = "speaker or recording" if len(named) == 2 else "speaker" if True in named else "recording"
        return list(self.groups.values()), unit


class CER(WER):
    """Character error rate: as `WER`, on characters, spaces between words among them."""

    label = "cer"
    stored = ("cer",)
    columns = ("target", "prediction")
    counted = "reference characters"

    @staticmethod
    def _tokens(text: str) -> Sequence[str]:
        return text.strip()

    @classmethod
    def _edits(cls, run: Columns) -> np.ndarray:
        pairs = zip(run["target"], run["prediction"], strict=True)
        return np.array([align(*(cls._tokens(composed(text)) for text in pair)).total for pair in pairs])

    @classmethod
    def _lengths(cls, run: Columns) -> np.ndarray:
        return np.array([len(cls._tokens(composed(text))) for text in run["target"]])


def _groups(speakers: Sequence[str | None] | None, lengths: np.ndarray) -> tuple[list[str], str]:
    """Of each recording what it is left out with, and what that is: its speaker; itself where there is one speaker."""
    recordings = [f"recording {place}" for place in range(len(lengths))]
    groups = [name or own for name, own in zip(speakers or [None] * len(lengths), recordings, strict=True)]
    if groups == recordings:
        return groups, "recording"
    speaking = {name for name, count in zip(groups, lengths.tolist(), strict=True) if count}
    return (groups, "speaker") if len(speaking) > 1 else (recordings, ONE_SPEAKER)
