"""95 % intervals of a mean over runs that differ in their seed and share a test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, logit
from scipy.stats import t

from mmtransfer.metrics.classification import AVERAGES, F1, Precision, Recall
from mmtransfer.metrics.intervals import BLOCK, Margins, Z, wilson
from mmtransfer.metrics.transcription import CER, WER

DRAWS = 2000

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights of the units (draws, units) -> the metric of each run (draws, runs)."""


class Drawn(NamedTuple):
    """A metric as it is drawn again.

    `units`: number of what is independent in the test set; `share`: whether values lie in 0..1; `unit`: what a unit is.
    """

    statistic: Statistic
    units: int
    share: bool
    unit: str = "test example"

    @property
    def method(self) -> str:
        """How the interval is made."""
        return f"crossed bootstrap by {self.unit} and seed, {DRAWS} draws"


def crossed(statistic: Statistic, units: int, runs: int, share: bool, seed: int = 0) -> tuple[float, float]:
    """The interval (low, high) of the mean over runs.

    All runs answer the same examples, so a hard test set is hard for all of them: examples and seeds are crossed, not
    nested. Each draw takes units once for all runs, and runs, both with replacement (Owen 2007, the pigeonhole
    bootstrap, Annals of Applied Statistics 1:386). The interval is the mean +- 1.96 standard deviations of the draws;
    of a share on the logit scale, which stays inside 0..1 (Wilson's where nothing varies); otherwise clipped at 0, and
    as wide as t and the sample variance of so many units ask for: speakers may be few.
    With 100 examples and answers that depend on both it covers 96 % (3 seeds) to 98 % (5 and 10).

    Args:
        statistic: the metric of each run under weights of the units.
        units: number of what is independent in the test set: examples, or speakers; 2 or more.
        runs: number of seeds; with one, only the examples vary.
        share: whether values lie in 0..1.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    values: list[np.ndarray] = []
    block = max(1, BLOCK // max(1, units))
    # Whatever the size of the blocks, each generator is read in the same order.
    weights, chosen = rng.spawn(2)
    for start in range(0, DRAWS, block):
        size = min(block, DRAWS - start)
        found = statistic(weights.multinomial(units, np.full(units, 1 / units), size).astype(np.float64))
        counts = chosen.multinomial(runs, np.full(runs, 1 / runs), size)
        values.append((found * counts).sum(1) / runs)
    drawn = np.concatenate(values)
    drawn = drawn[np.isfinite(drawn)]
    mean = float(statistic(np.ones((1, units))).mean())
    deviation = float(drawn.std(ddof=1))
    if share and deviation < 1e-12:
        flat = wilson(mean * units, units)
        return float(flat.low or 0.0), float(flat.high or 0.0)
    if share:
        half = Z * deviation / (mean * (1 - mean))
        return float(expit(logit(mean) - half)), float(expit(logit(mean) + half))
    half = float(t.ppf(0.975, units - 1)) * (units / (units - 1)) ** 0.5 * deviation
    return max(0.0, mean - half), mean + half


def statistics(name: str, records: Sequence[Mapping[str, list[Any]]]) -> Drawn | None:
    """How a metric is drawn again, from the stored predictions of each run; None if unknown.

    `records`: columns of predictions/SPLIT.parquet, the same ids in the same order in each.
    """
    first = records[0]
    if name in ("wer", "cer"):
        return _errors(WER if name == "wer" else CER, records)
    if name == "accuracy":
        return _share([_equal(run["target"], run["prediction"]) for run in records])
    if name == "top5_accuracy" and "top5" in first:
        return _share([[target in best for target, best in _pairs(run, "top5")] for run in records])
    for kind in (Precision, Recall, F1):
        for place, average in enumerate(AVERAGES):
            if name == f"{kind.label}_{average}":
                return _average(kind, place, records)
    return None


def _pairs(run: Mapping[str, list[Any]], column: str) -> Any:
    return zip(run["target"], run[column], strict=True)


def _equal(targets: list[Any], predictions: list[Any]) -> list[bool]:
    return [one == other for one, other in zip(targets, predictions, strict=True)]


def _share(right: Sequence[Sequence[bool]]) -> Drawn:
    hits = np.asarray(right, np.float64)
    return Drawn(lambda weights: weights @ hits.T / weights.sum(1, keepdims=True), hits.shape[1], True)


def _average(kind: Any, place: int, records: Sequence[Mapping[str, list[Any]]]) -> Drawn:
    """Macro, micro or weighted precision, recall or F1, from weighted margins of each run's confusion matrix."""
    names = sorted({str(value) for run in records for column in ("target", "prediction") for value in run[column]})
    numbers = {name: number for number, name in enumerate(names)}
    metric, n = kind(len(names)), len(records[0]["target"])

    def incidence(values: list[Any], kept: list[bool]) -> csr_array:
        columns = [numbers[str(value)] for value, keep in zip(values, kept, strict=True) if keep]
        rows = np.flatnonzero(kept)
        return csr_array((np.ones(len(rows)), (rows, columns)), (n, len(names)))

    everything = [True] * n
    runs = [
        (
            incidence(run["target"], _equal(run["target"], run["prediction"])),
            incidence(run["target"], everything),
            incidence(run["prediction"], everything),
        )
        for run in records
    ]

    def statistic(weights: np.ndarray) -> np.ndarray:
        margins = [Margins(*(weights @ matrix for matrix in run)) for run in runs]
        return np.stack([metric.averages(one)[:, place] for one in margins], 1)

    return Drawn(statistic, n, True)


def _errors(kind: type[WER], records: Sequence[Mapping[str, list[Any]]]) -> Drawn:
    """WER or CER; units are speakers, of recordings without one or of one speaker alone the recordings."""
    counted, unit = [], ""
    for run in records:
        metric = kind()
        metric.add_batch(predictions=run["prediction"], references=run["target"], groups=run.get("speaker"))
        counts, unit = metric.units()
        counted.append(np.array(counts, np.float64))
    edits, words = np.stack([one[:, 0] for one in counted]), counted[0][:, 1]

    def statistic(weights: np.ndarray) -> np.ndarray:
        return weights @ edits.T / np.maximum(weights @ words, 1e-9)[:, None]

    return Drawn(statistic, len(words), False, unit)
