"""What all metrics share: `evaluate`'s interface over counts, and the same scores from stored predictions of runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import evaluate

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import paired
from mmtransfer.metrics.crossed import Drawn
from mmtransfer.metrics.intervals import Score
from mmtransfer.metrics.paired import Difference

Columns = Mapping[str, list[Any]]
"""Stored predictions of a run, predictions/SPLIT.parquet, sorted by id: lists of equal length, by column."""


class StreamingMetric(evaluate.Metric):
    """What all metrics here share: the interface of evaluate over counts.

    As evaluate's own metrics do, what is added after `compute` is counted from nothing. Until then the counts stay, so
    that `scores` may follow `compute`. `reset` forgets at once. Counts are those of this process alone.

    A subclass sets `takes`, `higher_is_better` and the types of a prediction and a reference, and writes
    `reset`, `__len__`, `_count`, `_compute`, `scores`. Every override of `add`, `add_batch` or `compute` needs a
    docstring: evaluate appends to it. For runs to be compared and repeated by its scores it names them in `stored`, and
    writes `drawn`; `difference` where there is a better test than a bootstrap.
    """

    higher_is_better: ClassVar[bool] = True
    takes = "predictions (n,) and references (n,): class numbers."
    value_type: Any = datasets.Value("int64")
    reference_type: Any = datasets.Value("int64")
    stored: ClassVar[tuple[str, ...]] = ()
    """The scores that stored predictions give again, by name."""
    columns: ClassVar[tuple[str, ...]] = ("target", "prediction")
    """The columns of stored predictions that `difference` needs."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Scores of the same columns that are told, and not judged, where runs are compared by this metric."""
    lists: ClassVar[bool] = False
    """Whether an answer is a list of labels."""
    counted: ClassVar[str] = "examples"
    """What the `n` of a difference is a number of."""

    def __init__(self) -> None:
        #: whether the counts were computed already, so that the next ones begin anew
        self.computed = False
        self.reset()
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": self.value_type, "references": self.reference_type})
        description = (inspect.getdoc(type(self)) or "").partition("\n\n")[0]
        return evaluate.MetricInfo(description=description, citation="", features=features)

    def _build_data_dir(self) -> str:
        # evaluate makes this folder; nothing here is ever written to it.
        return os.path.join(self._data_dir_root, self.name, self.config_name)

    def reset(self) -> None:
        """Forgets everything added."""
        raise NotImplementedError

    def _count(self, predictions: Any, references: Any) -> None:
        raise NotImplementedError

    def scores(self) -> dict[str, Score]:
        """The values with their 95 % intervals, by the names that `compute` uses."""
        raise NotImplementedError

    @classmethod
    def reads(cls, predictions: Columns) -> bool:
        """Whether stored predictions are of the kind that this metric scores."""
        answers = predictions.get("target") or [None]
        return isinstance(answers[0], list) == cls.lists

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        """A score, one of `stored`, under other draws of the examples; `runs`: the same examples in the same order."""
        raise NotImplementedError

    @classmethod
    def difference(cls, name: str, first: Sequence[Columns], second: Sequence[Columns]) -> Difference:
        """The mean score of the runs in `first` minus that in `second`, with its interval and p value.

        Runs of a group differ in their seed; all have the same examples in the same order.
        """
        return paired.drawn_difference(cls.drawn(name, [*first, *second]), len(first))

    def add(self, *, prediction: Any = None, reference: Any = None, **plural: Any) -> None:
        """Counts one example; `predictions` and `references` are taken too, since evaluate.combine spells them so."""
        one = {"predictions": prediction, "references": reference} | plural
        self.add_batch(**{name: [value] for name, value in one.items()})

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Counts a batch: lists, arrays or tensors of equal length."""
        self._check_lengths(predictions, references)
        self._begin()
        self._count(predictions, references)

    def compute(self, *, predictions: Any = None, references: Any = None, **columns: Any) -> dict[str, Any]:
        """The values over everything added since the last `compute`; counts what is given first, if anything is."""
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions, references=references, **columns)
        self._begin()
        self._check_counted()
        self.computed = True
        return self._compute()

    def _begin(self) -> None:
        """Forgets what was computed already."""
        if self.computed:
            self.reset()
            self.computed = False

    def _check_lengths(self, predictions: Any, references: Any) -> None:
        if predictions is None or references is None or len(predictions) != len(references):
            sizes = ["none" if values is None else str(len(values)) for values in (predictions, references)]
            raise MMTransferError(
                f"{sizes[0]} predictions for {sizes[1]} references",
                f"the metric {self.name}",
                "give as many of the one as of the other",
            )

    def _check_counted(self) -> None:
        if not len(self):
            raise MMTransferError(
                "Nothing was added, so there is nothing to compute",
                f"the metric {self.name}",
                f"call add_batch(predictions=..., references=...) first; it takes {self.takes}",
            )
