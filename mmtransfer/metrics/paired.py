"""Two groups of runs on the same examples: the difference of their scores, its 95 % interval, and whether it is there.

A pair is worth more than two intervals side by side, because both saw the same examples: what is hard for one is
mostly hard for the other. A group holds the runs of the same settings, one a seed; with one run in each, accuracy has
its exact test. All differences are first minus second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binomtest, norm, t

from mmtransfer.metrics.crossed import Drawn, drawn_share
from mmtransfer.metrics.intervals import BLOCK, Estimate, Margins, Z, wilson

Statistic = Callable[[Margins], np.ndarray]
"""Margins of (draws, classes) -> (draws,)."""


@dataclass(frozen=True)
class Difference(Estimate):
    """First minus second; the interval and `p` are None where nothing can be said (one speaker)."""

    value: float
    """NaN where a score has no value."""
    p: float | None
    """Two-sided."""
    n: int
    """Number of examples; of word errors that of reference words, of character errors of characters."""
    method: str
    """How interval and test were made."""


def mcnemar(first: np.ndarray, second: np.ndarray) -> Difference:
    """Accuracies of two runs: the exact test of McNemar (1947), and Newcombe's interval (1998, Stat. Med. 17:2635,
    method 10), which joins two of Wilson's.

    `first`, `second`: bool (n,), whether each run is right on each example.
    """
    n = len(first)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    p = binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    one, two = wilson(both + only_first, n), wilson(both + only_second, n)
    assert one.value is not None and two.value is not None  # n > 0: a run without examples has no scores
    assert one.low is not None and one.high is not None and two.low is not None and two.high is not None
    margin = float(both + only_first) * (neither + only_second) * (both + only_second) * (neither + only_first)
    joint = both * neither - only_first * only_second
    phi = (max(joint - n / 2, 0) if joint > 0 else joint) / margin**0.5 if margin else 0.0
    below, above = one.value - one.low, two.high - two.value
    down = (max(0.0, below**2 - 2 * phi * below * above + above**2)) ** 0.5
    below, above = two.value - two.low, one.high - one.value
    up = (max(0.0, above**2 - 2 * phi * above * below + below**2)) ** 0.5
    value = (only_first - only_second) / n
    return Difference(value, value - down, value + up, float(p), n, "exact McNemar; Newcombe's interval")


def bootstrap(
    targets: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    classes: int,
    statistic: Statistic,
    seed: int = 0,
    draws: int = 2000,
) -> Difference:
    """The difference of the groups' mean scores, by a bootstrap that crosses seeds and examples.

    Each draw takes the examples once for all runs of both groups, and the runs of each group with replacement: the
    seeds of one test set are crossed with its examples, not nested in them (nested draws cover 85 %, these 95 %).
    Interval: value +- 1.96 sd of the draws; p from the same normal.

    Args:
        targets: class numbers (n,).
        first, second: predicted class numbers (n,) of each run of a group.
        classes: their number.
        statistic: what a score is, from hits, references and predictions of each class.
        seed: of the draws.
        draws: number of resamples.
    """
    # examples on which target and all predictions agree are one cell: a multinomial draw of the cells is a resample
    cells, counts = np.unique(np.stack([targets, *first, *second]), axis=1, return_counts=True)

    def scores(drawn: np.ndarray) -> np.ndarray:
        return np.stack([statistic(_margins(cells[0], predictions, drawn, classes)) for predictions in cells[1:]])

    return _bootstrap(counts, scores, len(first), 3 * classes, seed, draws)


def share_difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Difference:
    """Of shares of examples that runs are right on, bool (n,) each: the exact test of two runs, else the bootstrap."""
    if len(first) == len(second) == 1:
        return mcnemar(first[0], second[0])
    return drawn_difference(drawn_share([*first, *second]), len(first))


def drawn_difference(drawn: Drawn, split: int, seed: int = 0, draws: int = 2000) -> Difference:
    """The same of any score that can be drawn again; the first `split` of its runs are one group, the others another.

    One unit alone says nothing: no interval. Nor is there one where the score has no value.
    """
    if drawn.units < 2:
        points = drawn.statistic(np.ones((1, drawn.units)))[0]
        value = float(points[:split].mean() - points[split:].mean())
        return Difference(value, None, None, None, drawn.units, f"one {drawn.unit} does not tell how others would do")
    ones = np.ones(drawn.units, np.int64)
    return _bootstrap(ones, lambda counts: drawn.statistic(counts.T.astype(np.float64)).T, split, 0, seed, draws)


def _bootstrap(
    counts: np.ndarray,
    scores: Callable[[np.ndarray], np.ndarray],
    split: int,
    width: int,
    seed: int,
    draws: int,
) -> Difference:
    """Draws examples, in cells of `counts` (cells,), and runs; `scores`: counts (cells, draws) -> (runs, draws), which
    holds `width` numbers for a draw beside the counts."""
    rng, n = np.random.default_rng(seed), int(counts.sum())
    points = scores(counts[:, None])[:, 0]
    block = max(1, BLOCK // (len(counts) + width))
    sizes = [min(block, draws - start) for start in range(0, draws, block)]
    found = np.concatenate([scores(rng.multinomial(n, counts / n, size=size).T) for size in sizes], 1)
    picked = [
        np.take_along_axis(group, rng.integers(len(group), size=group.shape), 0).mean(0)
        for group in (found[:split], found[split:])
    ]
    value = float(np.mean(points[:split]) - np.mean(points[split:]))
    method = f"paired bootstrap, {draws} draws" + (", seeds crossed" if len(points) > 2 else "")
    differences = picked[0] - picked[1]
    differences = differences[np.isfinite(differences)]
    if not np.isfinite(value) or len(differences) < 2:
        return Difference(value, None, None, None, n, f"{method}; a score has no value")
    deviation = float(differences.std(ddof=1))
    p = float(2 * norm.sf(abs(value) / deviation)) if deviation > 1e-12 else float(abs(value) < 1e-12)
    return Difference(value, value - Z * deviation, value + Z * deviation, p, n, method)


def _margins(targets: np.ndarray, predictions: np.ndarray, counts: np.ndarray, classes: int) -> Margins:
    """Of cells drawn `counts` (cells, draws) times."""
    size = len(targets)

    def sums(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
        incidence = csr_array((np.ones(len(chosen), np.int64), (labels, chosen)), (classes, size))
        return (incidence @ counts).T

    everything, hits = np.arange(size), np.flatnonzero(targets == predictions)
    return Margins(sums(hits, targets[hits]), sums(everything, targets), sums(everything, predictions))


def jackknife_difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], words: np.ndarray, groups: Sequence[str], unit: str
) -> Difference:
    """The difference of pooled error ratios, by a delete-one-group jackknife and t of G - 1 degrees.

    Each group of examples is left out of all runs at once; of several seeds the variance of their mean is added, which
    is a little too careful. One group alone says nothing: no interval.

    Args:
        first, second: edits (n,) of each run of a group of runs, by recording.
        words: reference words (n,).
        groups: speaker of each recording, or its id where speakers are unknown.
        unit: what a group is, for `method`.
    """
    _, places = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    total = int(places.max()) + 1
    by_group = np.bincount(places, words, total)
    value, variance = 0.0, 0.0
    without = np.zeros(total)
    for sign, runs in ((1, first), (-1, second)):
        ratios = np.array([edits.sum() / words.sum() for edits in runs])
        value += sign * float(ratios.mean())
        variance += float(ratios.var(ddof=1)) / len(ratios) if len(ratios) > 1 else 0.0
        edits = np.mean([np.bincount(places, edits, total) for edits in runs], 0)
        without += sign * (edits.sum() - edits) / np.maximum(by_group.sum() - by_group, 1e-9)
    method = f"paired jackknife by {unit}, {total} group{'' if total == 1 else 's'}"
    if (by_group == by_group.sum()).any():
        return Difference(value, None, None, None, int(words.sum()), method)
    variance += (total - 1) / total * float(np.square(without - without.mean()).sum())
    deviation, degrees = variance**0.5, total - 1
    half = float(t.ppf(0.975, degrees)) * deviation
    p = float(2 * t.sf(abs(value) / deviation, degrees)) if deviation > 1e-12 else float(abs(value) < 1e-12)
    return Difference(value, value - half, value + half, p, int(words.sum()), method)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for being several (Holm 1979): the chance of one false claim among all is theirs at most."""
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        adjusted[place] = largest
    return adjusted
