"""Parts of the training data: few examples a class, a share, some minutes.

More shots of the same seed contain the fewer ones. Parts are drawn from the `split` stream, apart from the validation
split: another number of shots leaves that as it is. Examples of class None are taken first: without them a label would
be missing.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from mmtransfer.data.splits import chosen, shares
from mmtransfer.errors import MMTransferError
from mmtransfer.seeding import generator

logger = logging.getLogger("mmtransfer")


def shots(labels: Sequence[str | None] | None, n: int, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` examples of each class; without classes, or with some of class None, of `count` in all.
    Said aloud where fewer are there."""
    order, classes = _order(n, seed), _classes(labels)
    if classes is None:
        if count > n:
            logger.warning("--shots %d: there are only %d training examples, all are taken", count, n)
        return _needed_first(labels, order, count)
    counts = Counter(classes)
    small = sorted(name for name, there in counts.items() if there < count)
    if small:
        listing = ", ".join(f"{name!r} {counts[name]}" for name in small[:10]) + (", ..." if len(small) > 10 else "")
        logger.warning("--shots %d: %d class(es) have fewer, all are taken: %s", count, len(small), listing)
    return np.sort(order[chosen(np.asarray(classes, dtype=object)[order], dict.fromkeys(counts, count))])


def fraction(labels: Sequence[str | None] | None, n: int, share: float, seed: int) -> np.ndarray:
    """Sorted indices of a share of the examples, of each class its share and at least one."""
    order, classes = _order(n, seed), _classes(labels)
    if classes is None:
        return _needed_first(labels, order, max(1, round(n * share)))
    quotas = {name: max(1, quota) for name, quota in shares(Counter(classes), share).items()}
    return np.sort(order[chosen(np.asarray(classes, dtype=object)[order], quotas)])


def _classes(labels: Sequence[str | None] | None) -> list[str] | None:
    """The classes, if every example has one."""
    known = [label for label in labels or () if label is not None]
    return known if labels is not None and len(known) == len(labels) else None


def _needed_first(labels: Sequence[str | None] | None, order: np.ndarray, count: int) -> np.ndarray:
    """Sorted: the first `count` of the order, but those of class None before all others, and all of them."""
    if labels is None:
        return np.sort(order[:count])
    needed = np.array([label is None for label in labels])[order]
    if needed.sum() > count:
        logger.warning("training on %d examples instead of %d, so that every label is among them", needed.sum(), count)
    return np.sort(np.concatenate([order[needed], order[~needed][: max(0, count - int(needed.sum()))]]))


def at_most(labels: Sequence[str] | None, n: int, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` of the examples, or of all, classes in proportion."""
    order = _order(n, seed)
    if count >= n or labels is None:
        return np.sort(order[:count])
    return np.sort(order[chosen(np.asarray(labels, dtype=object)[order], shares(Counter(labels), count / n))])


def minutes(seconds: Sequence[float], groups: Sequence[Hashable] | None, limit: float, seed: int) -> np.ndarray:
    """Sorted indices of random recordings of `limit` minutes at most, one of each speaker after the other.

    `seconds`: length of each; `groups`: its speaker, None where unknown. Recordings that no longer fit are passed over.
    Raises MMTransferError if all are longer than the limit.
    """
    order = _order(len(seconds), seed)
    turns: dict[Hashable, int] = defaultdict(int)
    turn = np.zeros(len(order), np.int64)
    for place, number in enumerate(order.tolist()):
        speaker = groups[number] if groups is not None else None
        turn[place] = turns[speaker]
        turns[speaker] += 1
    taken: list[int] = []
    left = 60.0 * limit
    for number in order[np.argsort(turn, kind="stable")].tolist():
        if seconds[number] <= left:
            taken.append(number)
            left -= seconds[number]
    if not taken:
        raise MMTransferError(
            f"All recordings are longer than {60 * limit:g} s", f"--shots-minutes {limit:g}", "give more minutes"
        )
    return np.sort(np.array(taken, dtype=np.int64))


def _order(n: int, seed: int) -> np.ndarray:
    return generator(seed, "split", 1).permutation(n)
