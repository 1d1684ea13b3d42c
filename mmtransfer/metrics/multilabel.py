"""F1 and subset accuracy where an example has any number of labels, as streaming `evaluate.Metric`s.

Every metric here depends on an example only through the two sets of labels, predicted and true. So what is kept is how
often each pair of sets occurs: one multinomial draw of these cells is exactly one resample of the examples, and cells
are at most as many as examples, a few bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from scipy.sparse import csr_array

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import paired
from mmtransfer.metrics.crossed import Drawn, drawn_share
from mmtransfer.metrics.intervals import Score, shares_bootstrap, wilson
from mmtransfer.metrics.paired import Difference
from mmtransfer.metrics.streaming import Columns, StreamingMetric

AVERAGES = ("macro", "micro", "weighted", "samples")


class _LabelSets(StreamingMetric):
    """Counts of (predicted set, true set).

    Args:
        labels: their number L.
    """

    takes = "predictions (n, labels) and references (n, labels): 0 or 1 for every label."
    value_type = reference_type = datasets.Sequence(datasets.Value("int64"))
    lists = True

    def __init__(self, labels: int) -> None:
        self.labels = labels
        super().__init__()

    def reset(self) -> None:
        #: examples by the bits of the predicted and the true set, 2 L of them
        self.cells: dict[bytes, int] = {}

    def __len__(self) -> int:
        return sum(self.cells.values())

    def _count(self, predictions: Any, references: Any) -> None:
        both = [self._indicators(predictions, "predictions"), self._indicators(references, "references")]
        for key in map(bytes, np.packbits(np.concatenate(both, 1), axis=1)):
            self.cells[key] = self.cells.get(key, 0) + 1

    def _indicators(self, values: Any, what: str) -> np.ndarray:
        """bool (n, L), whatever they came in."""
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if not len(array):
            return np.zeros((0, self.labels), bool)
        if array.ndim != 2 or array.shape[1] != self.labels or not np.isin(array, (0, 1)).all():
            shape = f"have shape {array.shape}, not (n, {self.labels})"
            right = array.ndim == 2 and array.shape[1] == self.labels
            raise MMTransferError(
                f"The {what} {'are not all 0 or 1' if right else shape}",
                f"the metric {self.name}",
                f"give {self.takes}",
            )
        return array.astype(bool)

    def _sets(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts int64 (cells,), predicted and true sets bool (cells, L)."""
        packed = np.frombuffer(b"".join(self.cells), np.uint8).reshape(len(self.cells), -1)
        bits = np.unpackbits(packed, axis=1, count=2 * self.labels).astype(bool)
        return np.array(list(self.cells.values())), bits[:, : self.labels], bits[:, self.labels :]


class SubsetAccuracy(_LabelSets):
    """The share of examples whose set of labels is exactly right, with Wilson's interval.

    Args:
        labels: their number.
    """

    stored = ("subset_accuracy",)

    @staticmethod
    def _right(run: Columns) -> np.ndarray:
        """bool (n,): whether each example's set of labels is right."""
        pairs = zip(run["target"], run["prediction"], strict=True)
        return np.array([set(target) == set(prediction) for target, prediction in pairs])

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        return drawn_share([cls._right(run) for run in runs])

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        return paired.share_difference([cls._right(run) for run in first], [cls._right(run) for run in second])

    def _hits(self) -> int:
        counts, predicted, true = self._sets()
        return int(counts[(predicted == true).all(1)].sum())

    def _compute(self) -> dict[str, float]:
        return {"subset_accuracy": self._hits() / len(self)}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        return {"subset_accuracy": wilson(self._hits(), len(self))}


class MultiLabelF1(_LabelSets):
    """F1, `2 hits / (references + predictions)`, averaged in four ways as scikit-learn does: a share of nothing is 0.

    Names: "f1_macro" (mean over all labels), "f1_micro" (decisions of all labels pooled), "f1_weighted" (mean weighted
    by the references of each label), "f1_samples" (mean over examples of each one's own F1; one with no label, true or
    predicted, counts 0).

    Args:
        labels: their number.
    """

    stored = tuple(f"f1_{average}" for average in AVERAGES)
    beside = ("subset_accuracy",)

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        """Of stored predictions the macro average is over the labels that are true or predicted of any example."""
        labels = sorted({label for run in runs for column in cls.columns for own in run[column] for label in own})
        numbers, place = {label: number for number, label in enumerate(labels)}, cls.stored.index(name)
        n = len(runs[0]["target"])

        def indicators(answers: Sequence[Sequence[str]]) -> csr_array:
            rows = [row for row, own in enumerate(answers) for _ in set(own)]
            columns = [numbers[label] for own in answers for label in set(own)]
            return csr_array((np.ones(len(rows)), (rows, columns)), (n, len(labels)))

        true = indicators(runs[0]["target"])
        given = [indicators(run["prediction"]) for run in runs]
        hits = [true * own for own in given]
        each = [_shares(hit.sum(1), own.sum(1) + true.sum(1)) for hit, own in zip(hits, given, strict=True)]

        def statistic(weights: np.ndarray) -> np.ndarray:
            references, scores = weights @ true, []
            for hit, own, samples in zip(hits, given, each, strict=True):
                averages = cls._averages(weights @ hit, weights @ own + references, references)
                scores.append(np.column_stack([averages, weights @ samples / weights.sum(1)])[:, place])
            return np.stack(scores, 1)

        return Drawn(statistic, n, True)

    @staticmethod
    def _averages(hits: np.ndarray, sums: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(draws, 3) of counts (draws, labels); `sums` are references plus predictions."""
        shares = _shares(hits, sums)
        micro = _shares(hits.sum(1), sums.sum(1))
        return np.stack([shares.mean(1), micro, (shares * references).sum(1) / np.maximum(references.sum(1), 1)], 1)

    def _statistics(self) -> tuple[np.ndarray, Any, Any]:
        """Counts of the cells; counts (draws, cells) -> averages (draws, 4), and -> (draws, labels)."""
        counts, predicted, true = self._sets()
        to_hits, to_predictions, to_references = (
            csr_array(sets.T.astype(np.int64)) for sets in (predicted & true, predicted, true)
        )
        own = _shares((predicted & true).sum(1), predicted.sum(1) + true.sum(1))

        def margins(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            references = (to_references @ drawn.T).T
            return (to_hits @ drawn.T).T, (to_predictions @ drawn.T).T + references, references

        def averages(drawn: np.ndarray) -> np.ndarray:
            return np.column_stack([self._averages(*margins(drawn)), drawn @ own / drawn.sum(1)])

        def each(drawn: np.ndarray) -> np.ndarray:
            hits, sums, _ = margins(drawn)
            return _shares(hits, sums)

        return counts, averages, each

    def _compute(self) -> dict[str, float]:
        counts, averages, _ = self._statistics()
        return {f"f1_{name}": value for name, value in zip(AVERAGES, averages(counts[None])[0].tolist(), strict=True)}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        counts, averages, _ = self._statistics()
        n, wholes = len(self), self._wholes()
        occurring = wholes[wholes > 0]
        # decisions on the labels of one example go together, so an average knows no more than there are examples
        macro = len(occurring) ** 2 / (1 / occurring).sum() if len(occurring) else 0.0
        trials = [min(n, macro), min(n, wholes.sum()), min(n, wholes.sum()), n]
        found = shares_bootstrap(counts, averages, "examples", trials, 3 * self.labels)
        return {f"f1_{name}": score for name, score in zip(AVERAGES, found, strict=True)}

    def per_label(self) -> list[Score]:
        """By label; n is how often it is true, value is None where it is neither true nor predicted."""
        self._check_counted()
        counts, predicted, true = self._sets()
        wholes, support = self._wholes(), counts @ true
        found = shares_bootstrap(counts, self._statistics()[2], "examples", wholes.tolist(), 3 * self.labels)
        return [
            Score(score.value, score.low, score.high, int(n), score.method)
            if whole
            else Score(None, None, None, 0, "the label does not occur")
            for score, n, whole in zip(found, support, wholes, strict=True)
        ]

    def _wholes(self) -> np.ndarray:
        """(labels,): what the hits of a label are a share of."""
        counts, predicted, true = self._sets()
        return (counts @ predicted + counts @ true) / 2


def _shares(hits: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """2 hits / sums, 0 where the sum is."""
    return 2 * hits / np.maximum(sums, 1)
