"""How far probabilities can be believed: negative log-likelihood, Brier score, expected calibration error.

All three take the probabilities of one class an example, or of any number of labels, each of which is a decision then.
"""

from __future__ import annotations

from typing import Any, ClassVar

import datasets
import numpy as np
from scipy.special import expit, logit

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics.intervals import Score, Z
from mmtransfer.metrics.streaming import StreamingMetric

BINS = 15
DRAWS = 2000
SURE = 1e-300, 1e-16
"""Least probability that a logarithm is taken of: of a class; of a label, whose complement has no more digits."""


class _ProbabilityMetric(StreamingMetric):
    """What is computed of each example's probabilities and truth, kept as numbers of each example."""

    higher_is_better = False
    takes = "predictions (n, outputs): probabilities; references (n,): class numbers, or (n, outputs): 0 and 1."
    value_type: Any = datasets.Sequence(datasets.Value("float64"))
    label: ClassVar[str]

    def reset(self) -> None:
        self.parts: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def _count(self, predictions: Any, references: Any) -> None:
        probabilities, true = (np.asarray(values) for values in (predictions, references))
        if not len(true):
            return
        if probabilities.ndim != 2 or true.shape not in (probabilities.shape[:1], probabilities.shape):
            raise MMTransferError(
                f"The predictions have shape {probabilities.shape}, the references {true.shape}",
                f"the metric {self.name}",
                f"give {self.takes}",
            )
        self.parts.append(self._each(probabilities.astype(np.float64), true.astype(np.int64)))

    def _each(self, probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
        """float64 (n, any): what is kept of each example."""
        raise NotImplementedError

    def _compute(self) -> dict[str, float]:
        return {self.label: float(np.concatenate(self.parts).mean())}

    def scores(self) -> dict[str, Score]:
        """The mean over examples; its interval is value * exp(+-1.96 se / value), since losses are positive."""
        self._check_counted()
        values, method = np.concatenate(self.parts)[:, 0], "normal, of the mean over examples, log scale"
        value, n = float(values.mean()), len(values)
        error = float(values.std(ddof=1)) / n**0.5 if n > 1 else 0.0
        if not (value > 0 and error > 1e-12 * value):
            return {self.label: Score(value, None, None, n, f"{method}; it does not vary")}
        low, high = (value * float(np.exp(sign * Z * error / value)) for sign in (-1, 1))
        return {self.label: Score(value, low, high, n, method)}


class NLL(_ProbabilityMetric):
    """Negative log-likelihood in nats: mean over examples; of several labels the mean over these as well.

    >>> round(NLL().compute(predictions=[[0.5, 0.5], [0.1, 0.9]], references=[0, 1])["nll"], 4)
    0.3993
    """

    label = "nll"

    def _each(self, probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
        if true.ndim == 1:
            return -np.log(np.maximum(np.take_along_axis(probabilities, true[:, None], 1), SURE[0]))
        right = np.where(true > 0, probabilities, 1.0 - probabilities)
        return np.asarray(-np.log(np.maximum(right, SURE[1])).mean(1, keepdims=True))


class Brier(_ProbabilityMetric):
    """Squared distance of the probabilities from the truth, summed over classes (Brier 1950), 0 to 2; of several labels
    the mean of each label's own, 0 to 1.

    >>> round(Brier().compute(predictions=[[0.5, 0.5], [0.1, 0.9]], references=[0, 1])["brier"], 4)
    0.26
    """

    label = "brier"

    def _each(self, probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
        if true.ndim == 2:
            return np.asarray(np.square(probabilities - true).mean(1, keepdims=True))
        found = np.take_along_axis(probabilities, true[:, None], 1)
        return np.asarray(np.square(probabilities).sum(1, keepdims=True) - 2 * found + 1.0)


class ECE(_ProbabilityMetric):
    """Expected calibration error: how far confidence is from how often it is right (Naeini et al. 2015), in 15 bins of
    as many decisions each (Nixon et al. 2019); equal confidences are in one bin.

    The confidence is the largest probability; of several labels each one's probability is compared with how often the
    label is there. Interval: normal draws of the bins' sums, to which a bootstrap of examples comes down.

    >>> round(ECE().compute(predictions=[[0.2, 0.8], [0.2, 0.8]], references=[0, 1])["ece"], 4)
    0.3
    """

    label = "ece"

    def _each(self, probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
        """(n, 2 * decisions): confidences, then whether they were right."""
        if true.ndim == 2:
            return np.concatenate([probabilities, true], 1)
        right = probabilities.argmax(1) == true
        return np.stack([probabilities.max(1), right], 1)

    def _gaps(self) -> np.ndarray:
        """(n, bins): of each example right minus confidence over its number of decisions, in the bin that each is."""
        confidence, right = np.split(np.concatenate(self.parts), 2, axis=1)
        ends = np.quantile(confidence, np.arange(1, BINS) / BINS, method="inverted_cdf")
        gaps = np.zeros((len(confidence), BINS))
        rows = np.repeat(np.arange(len(confidence)), confidence.shape[1])
        np.add.at(gaps, (rows, np.searchsorted(ends, confidence.ravel())), (right - confidence).ravel())
        return gaps / confidence.shape[1]

    def _compute(self) -> dict[str, float]:
        return {self.label: float(np.abs(self._gaps().mean(0)).sum())}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        gaps, method = self._gaps(), f"normal draws of the bins' sums, {DRAWS} draws, logit scale"
        n, value = len(gaps), float(np.abs(gaps.mean(0)).sum())
        covariance = np.cov(gaps, rowvar=False, bias=True) / n
        drawn = np.random.default_rng(0).multivariate_normal(gaps.mean(0), covariance, DRAWS, method="eigh")
        deviation = float(np.abs(drawn).sum(1).std(ddof=1))
        if not (0 < value < 1 and deviation > 1e-12):
            return {self.label: Score(value, None, None, n, f"{method}; it does not vary")}
        half = Z * deviation / (value * (1 - value))
        return {
            self.label: Score(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)), n, method)
        }


def of_probabilities(probabilities: np.ndarray, references: Any) -> dict[str, StreamingMetric]:
    """All three, by name, after they have seen these probabilities (n, outputs)."""
    found: dict[str, StreamingMetric] = {}
    for kind in (ECE, NLL, Brier):
        found[kind.label] = metric = kind()
        metric.add_batch(predictions=probabilities, references=references)
    return found
