"""Squared and absolute error and R2 as streaming `evaluate.Metric`s over sums of groups of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics.crossed import Drawn
from mmtransfer.metrics.intervals import Score, Z, resampled
from mmtransfer.metrics.streaming import Columns, StreamingMetric

GROUPS = 2000
"""Groups whose sums are kept: up to so many examples each is its own, so that the bootstrap is that of examples."""
DRAWS = 2000


class _ErrorMetric(StreamingMetric):
    """A function of sums over examples, with a bootstrap of those sums.

    Kept are the sums of `GROUPS` groups that the examples are dealt out to in turn, whatever the number of examples.
    Resampling groups and resampling examples have the same variance to first order; the standard deviation itself is
    then known to 1 / sqrt(2 * GROUPS), 1.6 %. The interval is value * exp(+-1.96 sd / value), of R2 the same of 1 - R2,
    since errors are positive and their spread grows with them; where the draws do not vary there is none.
    """

    higher_is_better = False
    takes = "predictions (n,) and references (n,): real numbers."
    value_type = reference_type = datasets.Value("float64")
    label: ClassVar[str]
    lowest: ClassVar[float] = 0.0
    """No value is lower."""

    def __init_subclass__(cls) -> None:
        cls.stored = (cls.label,)

    def reset(self) -> None:
        self.examples = 0
        #: float64 (groups, 5): examples, squared errors, absolute errors, references and their squares, from `origin`
        self.sums = np.zeros((GROUPS, 5))
        self.origin = 0.0

    def __len__(self) -> int:
        return self.examples

    def _count(self, predictions: Any, references: Any) -> None:
        predicted, true = self._numbers(predictions, "predictions"), self._numbers(references, "references")
        if not len(true):
            return
        if not self.examples:
            self.origin = float(true[0])  # far from 0, squares of the references themselves would lose their digits
        summands = _summands(predicted, true, self.origin)
        np.add.at(self.sums, (self.examples + np.arange(len(true))) % GROUPS, summands)
        self.examples += len(true)

    def _numbers(self, values: Any, what: str) -> np.ndarray:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        wrong = array.dtype.kind not in "iuf" or array.ndim != 1
        if array.size and (wrong or not np.isfinite(array).all()):
            problem = f"are {array.dtype} of shape {array.shape}" if wrong else "are not all finite"
            raise MMTransferError(f"The {what} {problem}", f"the metric {self.name}", f"give {self.takes}")
        return array.astype(np.float64)

    def _errors(self, totals: np.ndarray) -> np.ndarray:
        """(draws,) of sums (draws, 5): the error, of R2 what it lacks to 1; NaN where it has no value."""
        raise NotImplementedError

    def _shown(self, error: Any) -> Any:
        """The value of an error, a number or an array."""
        return error

    @classmethod
    def drawn(cls, name: str, runs: Sequence[Columns]) -> Drawn:
        true, metric = np.asarray(runs[0]["target"], np.float64), cls()
        summands = [_summands(np.asarray(run["prediction"], np.float64), true, float(true[0])) for run in runs]

        def statistic(weights: np.ndarray) -> np.ndarray:
            return np.stack([metric._shown(metric._errors(weights @ own)) for own in summands], 1)

        return Drawn(statistic, len(true), False, lowest=cls.lowest)

    def _compute(self) -> dict[str, float | None]:
        error = float(self._errors(self.sums.sum(0)[None])[0])
        return {self.label: self._shown(error) if error == error else None}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        value, n = self._compute()[self.label], self.examples
        sums = self.sums[:n]
        unit = "examples" if n <= GROUPS else f"sums of {GROUPS} groups of examples"
        method = f"bootstrap of {unit}, {DRAWS} draws, log scale"
        if value is None:
            return {self.label: Score(None, None, None, n, "all references are equal")}
        error = float(self._errors(sums.sum(0)[None])[0])
        draws = resampled(np.ones(len(sums), np.int64), lambda drawn: self._errors(drawn @ sums), 5, draws=DRAWS)
        sd = float(np.nanstd(draws, ddof=1)) if n > 1 else 0.0
        if not (error > 0 and sd > 1e-12 * error):
            return {self.label: Score(value, None, None, n, f"{method}; it does not vary")}
        ends = sorted(self._shown(error * float(np.exp(sign * Z * sd / error))) for sign in (-1, 1))
        return {self.label: Score(value, ends[0], ends[1], n, method)}


class MSE(_ErrorMetric):
    """Mean squared error, in squared units of the references."""

    label = "mse"

    def _errors(self, totals: np.ndarray) -> np.ndarray:
        return totals[:, 1] / totals[:, 0]


class RMSE(_ErrorMetric):
    """Root of the mean squared error, in units of the references."""

    label = "rmse"

    def _errors(self, totals: np.ndarray) -> np.ndarray:
        return np.sqrt(totals[:, 1] / totals[:, 0])


class MAE(_ErrorMetric):
    """Mean absolute error, in units of the references."""

    label = "mae"

    def _errors(self, totals: np.ndarray) -> np.ndarray:
        return totals[:, 2] / totals[:, 0]


class R2(_ErrorMetric):
    """Coefficient of determination, `1 - squared errors / squared distances of the references from their mean`.

    1 is perfect, 0 is what the mean alone gives, below 0 is worse; None where all references are equal.
    """

    label = "r2"
    beside = ("rmse",)
    higher_is_better = True
    lowest = -np.inf

    def _errors(self, totals: np.ndarray) -> np.ndarray:
        n, squared, _, centred, squares = totals.T
        spread = squares - centred**2 / n
        flat = spread <= 1e-12 * squares
        return np.where(flat, np.nan, squared / np.where(flat, 1.0, spread))

    def _shown(self, error: Any) -> Any:
        return 1.0 - error


def _summands(predicted: np.ndarray, true: np.ndarray, origin: float) -> np.ndarray:
    """(n, 5): of each example what the sums are made of; `origin`: what references are counted from."""
    errors, centred = predicted - true, true - origin
    return np.stack([np.ones(len(true)), errors**2, np.abs(errors), centred, centred**2], 1)
