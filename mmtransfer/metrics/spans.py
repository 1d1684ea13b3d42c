"""Scores of tagged words: F1 of entities by their IOB2 spans, accuracy and macro F1 of plain tags.

Words of one sentence go together, so all intervals here draw whole sentences. Every metric here depends on a sentence
only through its counts by type, so what is kept is how often each set of counts occurs: one multinomial draw of these
cells is exactly one resample of the sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import datasets
import numpy as np
from scipy.sparse import csr_array

from mmtransfer.errors import MMTransferError
from mmtransfer.iob2 import spans
from mmtransfer.metrics.crossed import Drawn
from mmtransfer.metrics.intervals import Score, shares_bootstrap
from mmtransfer.metrics.streaming import Columns, StreamingMetric

HIT, PREDICTED, TRUE = range(3)
"""What is counted of each type: right predictions, predictions, references."""


def counts(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Entities of each sentence, of all types together: int64 (sentences, 3) of right, predicted and true ones.

    What a paired test draws again: the F1 of drawn sentences is `2 right / (predicted + true)` of their sums.
    Predictions and references are lists of tags, as many a sentence in the one as in the other.
    """
    table = np.zeros((len(references), 3), np.int64)
    for row, predicted, true in zip(table, predictions, references, strict=True):
        row[:] = np.sum([own for _, own in _tally(spans(predicted), spans(true))] or [(0, 0, 0)], 0)
    return table


Items = Sequence[tuple[Hashable, ...]]
"""What is predicted of a sentence or true of it, each once; the first part of an item is its type."""
Tally = tuple[tuple[Any, tuple[int, int, int]], ...]
"""Of a sentence: each type that occurs, with its right predictions, predictions and references."""


def _tally(predicted: Items, true: Items) -> Tally:
    parts = (set(predicted) & set(true), predicted, true)
    hits, predictions, references = (Counter(item[0] for item in items) for items in parts)
    kinds = sorted(predictions | references, key=str)
    return tuple((kind, (hits[kind], predictions[kind], references[kind])) for kind in kinds)


def _kinds(tallies: Iterable[Tally]) -> list[Any]:
    """All types, in a fixed order."""
    return sorted({kind for tally in tallies for kind, _ in tally}, key=str)


def _counts(tallies: Sequence[Tally], kinds: Sequence[Any]) -> csr_array:
    """The counts of each tally, (tallies, types * 3)."""
    numbers = {kind: number for number, kind in enumerate(kinds)}
    entries = [
        (row, 3 * numbers[kind] + what, count)
        for row, tally in enumerate(tallies)
        for kind, own in tally
        for what, count in enumerate(own)
    ]
    rows, columns, values = np.array(entries, np.int64).reshape(-1, 3).T
    return csr_array((values, (rows, columns)), (len(tallies), 3 * len(kinds)))


class _TagMetric(StreamingMetric):
    """Counts by type of what is predicted and true of a sentence: here its words by their tags."""

    takes = "predictions and references: a list of tags a sentence, one tag a word."
    value_type = reference_type = datasets.Sequence(datasets.Value("string"))
    lists = True
    counted = "sentences"
    names: tuple[str, ...]
    """The scores, in the order of `_values`."""

    def reset(self) -> None:
        #: how many sentences have these counts
        self.cells: Counter[Tally] = Counter()

    def __len__(self) -> int:
        return self.cells.total()

    def _items(self, tags: Sequence[str]) -> Items:
        return [(tag, place) for place, tag in enumerate(tags)]

    def _values(self, totals: np.ndarray) -> np.ndarray:
        """Shares (draws, names) of counts (draws, types, 3)."""
        raise NotImplementedError

    def _trials(self, totals: np.ndarray) -> np.ndarray:
        """(names,): what each score is a share of, from counts (types, 3)."""
        raise NotImplementedError

    def _count(self, predictions: Any, references: Any) -> None:
        tallies = []
        for number, (predicted, true) in enumerate(zip(predictions, references, strict=True), len(self)):
            for tags in (predicted, true):
                if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
                    raise MMTransferError(
                        f"Sentence {number} has {tags!r}, which is no list of tags",
                        f"the metric {self.name}",
                        f"give {self.takes}",
                    )
            if len(predicted) != len(true):
                raise MMTransferError(
                    f"Sentence {number} has {len(predicted)} predicted tags for {len(true)} true ones",
                    f"the metric {self.name}",
                    "give one tag a word in both",
                )
            tallies.append(_tally(self._items(predicted), self._items(true)))
        self.cells.update(tallies)

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        metric, place = cls(), cls.names.index(name)
        tallies = [
            [
                _tally(metric._items(predicted), metric._items(true))
                for predicted, true in zip(run["prediction"], run["target"], strict=True)
            ]
            for run in runs
        ]
        kinds = _kinds(tally for own in tallies for tally in own)
        tables = [_counts(own, kinds) for own in tallies]

        def statistic(weights: np.ndarray) -> np.ndarray:
            totals = [(weights @ table).reshape(len(weights), -1, 3) for table in tables]
            return np.stack([metric._values(own)[:, place] for own in totals], 1)

        return Drawn(statistic, len(tallies[0]), True, "test sentence")

    def _table(self) -> tuple[list[Any], np.ndarray, csr_array]:
        """Types; sentences of each cell (cells,); counts of each cell, (cells, types * 3)."""
        kinds = _kinds(self.cells)
        return kinds, np.array(list(self.cells.values())), _counts(list(self.cells), kinds)

    def _totals(self) -> np.ndarray:
        """Counts of all sentences, (types, 3)."""
        _, cells, table = self._table()
        return (table.T @ cells).reshape(-1, 3)

    def _compute(self) -> dict[str, float]:
        return dict(zip(self.names, self._values(self._totals()[None])[0].tolist(), strict=True))

    def scores(self) -> dict[str, Score]:
        """By name, with intervals by drawing sentences; n is the number of sentences."""
        self._check_counted()
        _, cells, table = self._table()

        def statistic(drawn: np.ndarray) -> np.ndarray:
            return self._values((table.T @ drawn.T).T.reshape(len(drawn), -1, 3))

        # what is said of the words of one sentence goes together: a score knows no more than there are sentences
        trials = np.minimum(self._trials(self._totals()), len(self))
        found = shares_bootstrap(cells, statistic, "sentences", trials.tolist(), table.shape[1])
        return dict(zip(self.names, found, strict=True))

    def per_type(self) -> dict[str, Score]:
        """The F1 of each type; n is how many references are of it."""
        self._check_counted()
        kinds, cells, table = self._table()

        def statistic(drawn: np.ndarray) -> np.ndarray:
            return _f1((table.T @ drawn.T).T.reshape(len(drawn), -1, 3))

        totals = self._totals()
        trials = np.minimum((totals[:, PREDICTED] + totals[:, TRUE]) / 2, len(self))
        found = shares_bootstrap(cells, statistic, "sentences", trials.tolist(), table.shape[1]) if kinds else []
        return {
            kind: Score(score.value, score.low, score.high, int(n), score.method)
            for kind, score, n in zip(kinds, found, totals[:, TRUE], strict=True)
        }


class EntityF1(_TagMetric):
    """Precision, recall and F1 of entities, of all types together (micro): right is the same type and the same words.

    Tags are IOB2, read as `spans` reads them, which is seqeval's strict mode; a share of nothing is 0.
    Names: "entity_f1", "entity_precision", "entity_recall"; `per_type` has the F1 of each type.

    >>> metric = EntityF1()
    >>> metric.compute(predictions=[["B-a", "O", "B-b"]], references=[["B-a", "I-a", "B-b"]])
    {'entity_f1': 0.5, 'entity_precision': 0.5, 'entity_recall': 0.5}
    """

    describes = "The harmonic mean of precision and recall, of entities."
    names = stored = ("entity_f1", "entity_precision", "entity_recall")
    beside = ("tag_accuracy",)

    def _items(self, tags: Sequence[str]) -> Items:
        return spans(tags)

    def _values(self, totals: np.ndarray) -> np.ndarray:
        pooled = totals.sum(1)
        shares = (pooled[:, HIT] / np.maximum(pooled[:, whole], 1) for whole in (PREDICTED, TRUE))
        return np.stack([_f1(pooled), *shares], 1)

    def _trials(self, totals: np.ndarray) -> np.ndarray:
        _, predicted, true = totals.sum(0)
        return np.array([(predicted + true) / 2, predicted, true])


class TagAccuracy(_TagMetric):
    """The share of words whose tag is right, "tag_accuracy"."""

    describes = "The share of words whose tag is right."
    names = stored = ("tag_accuracy",)

    def _values(self, totals: np.ndarray) -> np.ndarray:
        return _f1(totals.sum(1))[:, None]

    def _trials(self, totals: np.ndarray) -> np.ndarray:
        return totals[:, TRUE].sum(keepdims=True)


class TagF1(_TagMetric):
    """F1 of words by tag, mean over the tags that occur in predictions or references, "tag_f1_macro".

    `per_type` has the F1 of each tag.
    """

    describes = "The harmonic mean of precision and recall of each tag, averaged."
    names = stored = ("tag_f1_macro",)

    def _values(self, totals: np.ndarray) -> np.ndarray:
        present = (totals[..., PREDICTED] + totals[..., TRUE]) > 0
        return ((_f1(totals) * present).sum(1) / np.maximum(present.sum(1), 1))[:, None]

    def _trials(self, totals: np.ndarray) -> np.ndarray:
        # as many as a mean of independent shares has the variance of one share over
        wholes = (totals[:, PREDICTED] + totals[:, TRUE]) / 2
        return np.array([len(wholes) ** 2 / (1 / wholes).sum() if len(wholes) else 0.0])


def _f1(counts: np.ndarray) -> np.ndarray:
    """Of counts (..., 3): 2 right / (predicted + true), 0 where nothing is either."""
    return 2 * counts[..., HIT] / np.maximum(counts[..., PREDICTED] + counts[..., TRUE], 1)
