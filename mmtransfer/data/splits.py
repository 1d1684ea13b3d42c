"""Cutting one set of examples in two, the same way every time for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmtransfer.errors import MMTransferError
from mmtransfer.seeding import generator


def holdout(labels: Sequence[str | None] | None, n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (rest, held out) of `n` examples, sorted, int64, disjoint and complete.

    `labels`: one an example: each class gives its share (largest remainders, so that the total keeps `fraction`) and
    has at least one example on both sides, and an example of class None stays in the rest; None: any examples.
    `fraction`: share held out, between 0 and 1.
    Raises MMTransferError if a class, or the whole, has fewer than two examples.
    """
    if n < 2:
        raise MMTransferError(
            f"{n} example(s) cannot be split in two", "the training data", "give more, or --validation DATA of its own"
        )
    order = generator(seed, "split").permutation(n)
    if labels is None:
        taken = order[: min(max(round(n * fraction), 1), n - 1)]
    else:
        counts = Counter(label for label in labels if label is not None)
        taken = order[chosen(np.asarray(labels, dtype=object)[order], _quotas(counts, fraction))]
    mask = np.zeros(n, bool)
    mask[taken] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _quotas(counts: Counter[str], fraction: float) -> dict[str, int]:
    """How many of each class are held out."""
    small = sorted(label for label, count in counts.items() if count < 2)
    if small:
        listing = ", ".join(map(repr, small[:10])) + (f" and {len(small) - 10} more" if len(small) > 10 else "")
        raise MMTransferError(
            f"{len(small)} class(es) too small to split, with one example each: {listing}",
            "the training data",
            "add examples or leave these classes out, or give --validation DATA of its own",
        )
    return {name: min(max(quota, 1), counts[name] - 1) for name, quota in shares(counts, fraction).items()}


def shares(counts: Counter[str], fraction: float) -> dict[str, int]:
    """A fraction of each count, by largest remainders: the sum is the fraction of the sum, rounded."""
    names = sorted(counts)
    parts = np.array([counts[name] for name in names]) * fraction
    quotas = np.floor(parts).astype(int)
    missing = round(float(parts.sum())) - int(quotas.sum())
    quotas[np.argsort(quotas - parts, kind="stable")[:missing]] += 1
    return dict(zip(names, quotas.tolist(), strict=True))


def chosen(labels: np.ndarray, quotas: dict[str, int]) -> np.ndarray:
    """Places of the first `quotas[label]` examples of each label, or of all that are there."""
    left, places = dict(quotas), []
    for place, label in enumerate(labels.tolist()):
        if left.get(label, 0) > 0:
            left[label] -= 1
            places.append(place)
    return np.array(places, dtype=np.int64)
