"""Interpolated modified Kneser-Ney estimation (Chen & Goodman 1999), with the conventions of KenLM's lmplz."""

from __future__ import annotations

import logging

import numpy as np

from mmtransfer.language.counts import PAD, Counts, distinct
from mmtransfer.language.ngrams import BEGIN, NGrams, Table

logger = logging.getLogger("mmtransfer")
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of n-grams seen once, twice and more often, where a text is too small to tell them; lmplz has the same."""
_NEVER = -99.0
"""log10 of the probability of `<s>`, which is no word that follows others, as ARPA files have it."""


def estimate(counts: Counts, told: str = "the language model") -> NGrams:
    """The model of a text's n-grams; its order is lower than the counts' where no sentence is long enough.

    n-grams shorter than the order are counted by the different words before them (those that begin with `<s>`, which
    nothing precedes, by how often they occur). With D the discount of a count (one for 1, for 2, and for 3 and more),

        P(w | context) = (c(context w) - D) / c(context *) + gamma(context) P(w | shorter context)

    where gamma is what the discounts took; single words are mixed with 1 / |V|, V without `<s>` and with `<unk>` and
    `</s>`. Where a text is too small to tell discounts, they are `FALLBACK`, said with what `told` calls the model.
    """
    tables = Tables(len(counts.words))
    fallen = []
    for length, (rows, times) in enumerate(_levels(counts), start=1):
        begin = (rows[:, 0] == BEGIN) & (length == 1)
        found = discounts(times[~begin])
        if found is None:
            fallen.append(str(length))
        taken = np.array([0.0, *(found or FALLBACK)])[np.minimum(times, 3)]
        if length == 1:
            tables.add_words(rows[~begin, 0], times[~begin], taken[~begin])
        else:
            tables.add(rows, times, taken)
    if fallen:
        what = "%s: too little text to estimate the discounts of n-grams of %s, so usual ones are taken: %s"
        logger.info(what, told, ", ".join(fallen), ", ".join(map(str, FALLBACK)))
    return NGrams(counts.words, tables.made)


def _levels(counts: Counts) -> list[tuple[np.ndarray, np.ndarray]]:
    """By length, from 1 to the longest that occurs: rows of words' numbers, and the counts that are estimated from."""
    rows, times = counts.rows, counts.times
    levels = []
    adjusted = times
    for _ in range(rows.shape[1]):
        whole = rows[:, 0] != PAD
        levels.append((rows[whole].astype(np.int64) - 1, adjusted[whole]))
        if rows.shape[1] == 1:
            break
        ones = np.ones_like(times)
        shorter, sums = distinct(rows[:, 1:], np.stack([ones, times], 1))
        before, times = sums.T
        rows, adjusted = shorter, np.where(shorter[:, 0] == BEGIN + 1, times, before)
    return [level for level in levels[::-1] if len(level[0])]


def discounts(times: np.ndarray) -> tuple[float, float, float] | None:
    """Discounts of counts 1, 2, and 3 and more (Chen & Goodman 1999, equation 17), of the counts of all n-grams of one
    length; None where they are not defined or out of their range, 0 to the count."""
    seen = np.bincount(np.minimum(times, 5), minlength=6)[1:5].astype(np.float64)
    if not seen[:3].all():
        return None
    y = seen[0] / (seen[0] + 2 * seen[1])
    found = [k - (k + 1) * y * seen[k] / seen[k - 1] for k in (1, 2, 3)]
    return (found[0], found[1], found[2]) if all(0 <= d <= k for k, d in enumerate(found, start=1)) else None


class Tables:
    """The tables of a model in the making, the shortest first."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.made: list[Table] = []
        self._keys: list[np.ndarray] = []
        self._values = np.zeros(0)

    def add_words(self, words: np.ndarray, times: np.ndarray, taken: np.ndarray) -> None:
        """The table of single words, with those that do not occur."""
        values = np.full(self.words, taken.sum() / times.sum() / (self.words - 1))
        values[words] += (times - taken) / times.sum()
        values[BEGIN] = 10**_NEVER
        self._append(np.arange(self.words)[:, None], values)

    def add(self, rows: np.ndarray, times: np.ndarray, taken: np.ndarray) -> None:
        """The table of the next length; fills in the back-off weights of the one before."""
        contexts, shorter = self._places(rows[:, :-1]), self._places(rows[:, 1:])
        firsts = np.flatnonzero(np.append(True, np.diff(contexts) != 0))
        place = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(rows)))
        totals = np.add.reduceat(times, firsts)
        gammas = np.add.reduceat(taken, firsts) / totals
        self.made[-1].backoffs[contexts[firsts]] = np.log10(gammas)
        values = (times - taken) / totals[place] + gammas[place] * self._values[shorter]
        self._keys.append(contexts * self.words + rows[:, -1])
        self._append(rows, values)

    def _append(self, rows: np.ndarray, values: np.ndarray) -> None:
        self._values = values
        self.made.append(Table(rows, np.log10(values), np.zeros(len(rows))))

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Where n-grams stand in the newest table, which has them all."""
        places = rows[:, 0]
        for keys, column in zip(self._keys, rows.T[1:], strict=True):
            places = np.searchsorted(keys, places * self.words + column)
        return places
