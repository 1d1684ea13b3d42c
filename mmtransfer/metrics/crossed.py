"""95 % intervals of a mean over runs that differ in their seed and share a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

from mmtransfer.metrics.intervals import BLOCK, Z, wilson

DRAWS = 2000

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights of the units (draws, units) -> the metric of each run (draws, runs)."""


class Drawn(NamedTuple):
    """A metric as it is drawn again."""

    statistic: Statistic
    units: int
    """Number of what is independent in the test set."""
    share: bool
    """Whether values lie in 0..1."""
    unit: str = "test example"
    """What a unit is."""
    lowest: float = 0.0
    """No value is lower."""

    @property
    def method(self) -> str:
        """How the interval is made."""
        return f"crossed bootstrap by {self.unit} and seed, {DRAWS} draws"


def crossed(
    statistic: Statistic, units: int, runs: int, share: bool, lowest: float = 0.0, seed: int = 0
) -> tuple[float, float]:
    """The interval (low, high) of the mean over runs.

    All runs answer the same examples, so a hard test set is hard for all of them: examples and seeds are crossed, not
    nested. Each draw takes units once for all runs, and runs, both with replacement (Owen 2007, the pigeonhole
    bootstrap, Annals of Applied Statistics 1:386). The interval is the mean +- 1.96 standard deviations of the draws;
    of a share on the logit scale, which stays inside 0..1 (Wilson's where nothing varies); otherwise clipped at
    `lowest`, and as wide as t and the sample variance of so many units ask for: speakers may be few.
    With 100 examples and answers that depend on both it covers 96 % (3 seeds) to 98 % (5 and 10).

    Args:
        statistic: the metric of each run under weights of the units.
        units: number of what is independent in the test set: examples, or speakers; 2 or more.
        runs: number of seeds; with one, only the examples vary.
        share: whether values lie in 0..1.
        lowest: no value is lower; not read of a share.
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
    return max(lowest, mean - half), mean + half


def drawn_share(right: Sequence[np.ndarray]) -> Drawn:
    """The share of examples that each run is right on; `right`: bool (n,) of each run."""
    hits = np.asarray(right, np.float64)
    return Drawn(lambda weights: weights @ hits.T / weights.sum(1, keepdims=True), hits.shape[1], True)
