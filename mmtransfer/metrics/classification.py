"""Accuracy, top-k accuracy, precision, recall, F1 and the confusion matrix as streaming `evaluate.Metric`s.

They keep counts, not rows, and touch neither disk nor network. Classes are numbers from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
from scipy.sparse import csr_array

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import paired
from mmtransfer.metrics.crossed import Drawn, drawn_share
from mmtransfer.metrics.intervals import Margins, Score, cells_bootstrap, wilson
from mmtransfer.metrics.paired import Difference, Statistic
from mmtransfer.metrics.streaming import Columns, StreamingMetric

AVERAGES = ("macro", "micro", "weighted")
GROWN_CLASSES = 10_000
"""A confusion matrix grows by itself to so many classes (0.8 GB); more must be asked for."""


def _integers(values: Any, metric: StreamingMetric, what: str) -> np.ndarray:
    """int64 array of class numbers, whatever they came in."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.size and array.dtype.kind not in "iub":
        raise MMTransferError(
            f"The {what} are of type {array.dtype}, not integers", f"the metric {metric.name}", f"give {metric.takes}"
        )
    return array.astype(np.int64)


def _classes(values: Any, metric: StreamingMetric, what: str) -> np.ndarray:
    """int64 (n,) of class numbers from 0."""
    array = _integers(values, metric, what)
    if array.ndim != 1 or (array < 0).any():
        problem = f"have shape {array.shape}" if array.ndim != 1 else f"have a class number {array.min()}"
        raise MMTransferError(f"The {what} {problem}", f"the metric {metric.name}", f"give {metric.takes}")
    return array


class Accuracy(StreamingMetric):
    """The share of examples whose prediction is the reference, with Wilson's interval.

    >>> metric = Accuracy()
    >>> metric.compute(predictions=[0, 1, 1, 2], references=[0, 1, 0, 2])
    {'accuracy': 0.75}
    >>> print(metric.scores()["accuracy"])
    0.7500 (0.3006 to 0.9544)
    """

    label = "accuracy"
    stored = ("accuracy",)
    beside: ClassVar[tuple[str, ...]] = ("f1_macro",)
    hits: int
    examples: int

    @classmethod
    def _right(cls, run: Columns) -> np.ndarray:
        """bool (n,): whether each example's prediction is right."""
        return np.array(_equal(run["target"], run["prediction"]))

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        return drawn_share([cls._right(run) for run in runs])

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        if len(first) == len(second) == 1:
            return paired.mcnemar(cls._right(first[0]), cls._right(second[0]))
        return _margins_difference(
            first, second, lambda classes: lambda margins: margins.hits.sum(1) / margins.references.sum(1)
        )

    def reset(self) -> None:
        self.hits = self.examples = 0

    def __len__(self) -> int:
        return self.examples

    def _count(self, predictions: Any, references: Any) -> None:
        right = _classes(predictions, self, "predictions") == _classes(references, self, "references")
        self.hits += int(right.sum())
        self.examples += len(right)

    def _compute(self) -> dict[str, float]:
        return {self.label: self.hits / self.examples}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        return {self.label: wilson(self.hits, self.examples)}


class TopKAccuracy(Accuracy):
    """The share of examples whose reference is among the first k classes of a ranked list, with Wilson's interval.

    Args:
        k: how many; the score's name is "topK_accuracy". Longer lists are cut, shorter ones are right if they hold it.
    """

    takes = "predictions (n, k): class numbers, best first; references (n,): class numbers."
    value_type = datasets.Sequence(datasets.Value("int64"))
    stored = ("top5_accuracy",)
    columns = ("target", "top5")
    beside = ()

    @classmethod
    def reads(cls, predictions: Columns) -> bool:
        return "top5" in predictions  # not stored of five classes and fewer

    @classmethod
    def _right(cls, run: Columns) -> np.ndarray:
        return np.array([target in best for target, best in zip(run["target"], run["top5"], strict=True)])

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        return paired.share_difference([cls._right(run) for run in first], [cls._right(run) for run in second])

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise MMTransferError(f"k is {k}", "the metric top_k_accuracy", "give 1 or more")
        self.k = k
        self.label = f"top{k}_accuracy"
        super().__init__()

    def _count(self, predictions: Any, references: Any) -> None:
        ranked = _integers(predictions, self, "predictions")
        true = _classes(references, self, "references")
        if len(ranked) and ranked.ndim != 2:
            raise MMTransferError(
                f"The predictions have shape {ranked.shape}", f"the metric {self.name}", f"give {self.takes}"
            )
        if len(ranked):
            self.hits += int((ranked[:, : self.k] == true[:, None]).any(1).sum())
            self.examples += len(true)


class ConfusionMatrix(StreamingMetric):
    """How often each class was taken for each.

    Args:
        classes: their number C; None takes the largest seen, plus one.
    """

    def __init__(self, classes: int | None = None) -> None:
        self.classes = classes
        super().__init__()

    def reset(self) -> None:
        #: int64 (C, C), rows are references, columns predictions.
        self.confusion = np.zeros((self.classes or 0, self.classes or 0), np.int64)

    def __len__(self) -> int:
        return int(self.confusion.sum())

    def _count(self, predictions: Any, references: Any) -> None:
        predicted, true = _classes(predictions, self, "predictions"), _classes(references, self, "references")
        if len(true):
            self._fit(int(max(predicted.max(), true.max())))
            # Not bincount: with 1,000 classes that would fill a million cells for each batch.
            np.add.at(self.confusion, (true, predicted), 1)

    def _fit(self, largest: int) -> None:
        size = len(self.confusion)
        if largest < size:
            return
        if self.classes is not None or largest >= GROWN_CLASSES:
            known = f"{self.classes} classes" if self.classes is not None else "an unknown number of classes"
            raise MMTransferError(
                f"Class number {largest} among {known}",
                f"the metric {self.name}",
                f"numbers start at 0; {type(self).__name__}(classes={largest + 1}) takes this one",
            )
        self.confusion = np.pad(self.confusion, (0, largest + 1 - size))

    def _compute(self) -> dict[str, Any]:
        return {"confusion_matrix": self.confusion.copy()}

    def scores(self) -> dict[str, Score]:
        """None: a matrix is not a score."""
        return {}


class _ClassMetric(ConfusionMatrix):
    """A share for each class, averaged in three ways as scikit-learn does: a share of nothing is 0.

    Names: "NAME_macro" (mean over the classes that occur in references or predictions), "NAME_micro" (all decisions
    pooled: the accuracy), "NAME_weighted" (mean weighted by the references of each class).

    Args:
        classes: their number; None takes the largest seen, plus one.
    """

    label = ""
    pooled: Sequence[str] = ("micro",)
    """The averages that are the accuracy; they get its interval."""

    def __init_subclass__(cls) -> None:
        cls.stored = tuple(f"{cls.label}_{average}" for average in AVERAGES)

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        names = sorted({str(value) for run in runs for column in ("target", "prediction") for value in run[column]})
        numbers = {name: number for number, name in enumerate(names)}
        metric, n, place = cls(len(names)), len(runs[0]["target"]), cls.stored.index(name)

        def incidence(values: list[Any], kept: list[bool]) -> csr_array:
            columns = [numbers[str(value)] for value, keep in zip(values, kept, strict=True) if keep]
            rows = np.flatnonzero(kept)
            return csr_array((np.ones(len(rows)), (rows, columns)), (n, len(names)))

        everything = [True] * n
        matrices = [
            (
                incidence(run["target"], _equal(run["target"], run["prediction"])),
                incidence(run["target"], everything),
                incidence(run["prediction"], everything),
            )
            for run in runs
        ]

        def statistic(weights: np.ndarray) -> np.ndarray:
            margins = [Margins(*(weights @ matrix for matrix in run)) for run in matrices]
            return np.stack([metric.averages(one)[:, place] for one in margins], 1)

        return Drawn(statistic, n, True)

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        place = cls.stored.index(name)

        def statistic(classes: int) -> Statistic:
            metric = cls(classes)
            return lambda margins: metric.averages(margins)[:, place]

        return _margins_difference(first, second, statistic)

    def _whole(self, margins: Margins) -> np.ndarray:
        """(draws, classes): what the hits of a class are a share of."""
        raise NotImplementedError

    def _shares(self, margins: Margins) -> np.ndarray:
        """(draws, classes)"""
        # Hits are 0 where the whole is; nothing between 0 and 1/2 occurs.
        return margins.hits / np.maximum(self._whole(margins), 0.5)

    def averages(self, margins: Margins) -> np.ndarray:
        """(draws, 3), in the order of AVERAGES."""
        shares = self._shares(margins)
        present = (margins.references + margins.predictions) > 0
        n = margins.references.sum(1)
        macro = (shares * present).sum(1) / present.sum(1)
        return np.stack([macro, margins.hits.sum(1) / n, (shares * margins.references).sum(1) / n], 1)

    def _compute(self) -> dict[str, Any]:
        values = self.averages(Margins.of(self.confusion))[0].tolist()
        return {f"{self.label}_{average}": value for average, value in zip(AVERAGES, values, strict=True)}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        margins = Margins.of(self.confusion)
        n = len(self)
        # Macro averages of independent shares have the variance of one share over this many examples.
        wholes = self._whole(margins)
        wholes = wholes[wholes > 0]
        scores = cells_bootstrap(self.confusion, self.averages, [len(wholes) ** 2 / (1 / wholes).sum(), n, n])
        named = dict(zip(AVERAGES, scores, strict=True))
        named |= {average: wilson(int(margins.hits.sum()), n) for average in self.pooled}
        return {f"{self.label}_{average}": score for average, score in named.items()}

    def per_class(self) -> dict[int, Score]:
        """By class number; n is how often the class is the reference, value is None where a class never occurs."""
        self._check_counted()
        margins = Margins.of(self.confusion)
        support = margins.references[0]
        occurs = support + margins.predictions[0] > 0
        found = cells_bootstrap(self.confusion, self._shares, self._whole(margins)[0].tolist())
        return {
            number: Score(score.value, score.low, score.high, int(support[number]), score.method)
            if occurs[number]
            else Score(None, None, None, 0, "the class does not occur")
            for number, score in enumerate(found)
        }


class Precision(_ClassMetric):
    """Of the examples predicted to be of a class, the share that is."""

    label = "precision"

    def _whole(self, margins: Margins) -> np.ndarray:
        return margins.predictions


class Recall(_ClassMetric):
    """Of the examples of a class, the share that was found; the weighted average is the accuracy."""

    label = "recall"
    pooled = ("micro", "weighted")

    def _whole(self, margins: Margins) -> np.ndarray:
        return margins.references


class F1(_ClassMetric):
    """The harmonic mean of precision and recall, `2 hits / (references + predictions)`.

    >>> F1().compute(predictions=[0, 1, 1, 1], references=[0, 0, 1, 1])["f1_macro"]  # 2/3 and 4/5
    0.7333333333333334
    """

    label = "f1"

    def _whole(self, margins: Margins) -> np.ndarray:
        return (margins.references + margins.predictions) / 2


def _equal(targets: Sequence[Any], predictions: Sequence[Any]) -> list[bool]:
    return [target == prediction for target, prediction in zip(targets, predictions, strict=True)]


def _margins_difference(
    first: Sequence[Columns], second: Sequence[Columns], statistic: Callable[[int], Statistic]
) -> Difference:
    """The difference of a score that depends on confusion matrices; `statistic`: number of classes -> the score."""
    labels = sorted({label for run in (*first, *second) for name in ("target", "prediction") for label in run[name]})
    numbers = {label: number for number, label in enumerate(labels)}

    def coded(values: Sequence[Any]) -> np.ndarray:
        return np.array([numbers[value] for value in values])

    one, other = ([coded(run["prediction"]) for run in runs] for runs in (first, second))
    return paired.bootstrap(coded(first[0]["target"]), one, other, len(labels), statistic(len(labels)))
