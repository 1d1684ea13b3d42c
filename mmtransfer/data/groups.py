"""Groups whose examples belong together: speakers, patients, authors. A split that keeps them whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.seeding import generator

logger = logging.getLogger("mmtransfer")


def of(table: Table) -> list[str] | None:
    """The group of each example; one without a group is a group of its own. None if the table knows no groups."""
    groups = table.groups
    # "\0" is in no name that was read from a text
    return None if groups is None else [group or f"\0{number}" for number, group in enumerate(groups)]


def holdout(
    labels: Sequence[str | Sequence[str]] | None, groups: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (rest, held out), sorted, int64, disjoint and complete; every group is whole on one side.

    `labels`: one or several an example, or None; `groups`: one an example; `fraction`: share of the examples held out,
    as nearly as groups allow. Greedy, in the way of scikit-learn's StratifiedGroupKFold: groups come in the order of
    how many examples of uneven classes they have, by powers of two and otherwise as drawn from `seed`, and each goes to
    the side where the parts of every class that both sides have, over the parts they should have, stay closest (sum of
    squares).
    A group is never held out if a class would be left without an example.
    Raises MMTransferError for fewer than two groups, or if no group may be held out.
    """
    names, group = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        raise MMTransferError(
            f"{len(names)} group(s) cannot be split in two",
            "--group-column of the training data",
            "give data with more groups, or --validation DATA of its own",
        )
    # of several labels an example has any number: then the examples themselves are counted as well
    own = [(label,) if isinstance(label, str) else ("\0", *label) for label in labels or [""] * len(groups)]
    rows = np.repeat(group, [len(some) for some in own])
    classes = np.unique(np.array([label for some in own for label in some], dtype=object), return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (rows, classes), 1)
    total = counts.sum(0)
    uneven = np.floor(np.log2(1 + np.hypot(counts.std(1), counts.mean(1))))
    order = generator(seed, "split").permutation(len(names))
    order = order[np.argsort(-uneven[order], kind="stable")]
    taken, sides = np.zeros(len(names), bool), np.zeros((2, len(total)))
    wanted = np.array([[1 - fraction], [fraction]])

    def imbalance(side: int, candidate: int) -> float:
        added = sides.copy()
        added[side] += counts[candidate]
        filled = added / total / wanted
        return float(((filled[0] - filled[1]) ** 2).sum())

    def allowed(candidate: int) -> bool:
        return bool((sides[1] + counts[candidate] < total).all())

    for candidate in order:
        taken[candidate] = allowed(candidate) and imbalance(1, candidate) < imbalance(0, candidate)
        sides[int(taken[candidate])] += counts[candidate]
    if not taken.any():  # every group is more than the share: the least bad one
        possible = [candidate for candidate in order if allowed(candidate)]
        if not possible:
            raise MMTransferError(
                "No group can be held out: each has a class that no other group has",
                "--group-column of the training data",
                "give data with more groups a class, or --validation DATA of its own",
            )
        parts = (counts / total - fraction) ** 2
        taken[min(possible, key=lambda candidate: parts[candidate].sum())] = True
    mask = taken[group]
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def leave_out(table: Table, name: str) -> tuple[Table, Table]:
    """(the rest, the examples of the group called `name`).

    Raises MMTransferError if the table knows no groups, none of this name, or no other.
    """
    groups = of(table)
    where = f"--test-group {name} of {table.source}"
    if groups is None:
        raise MMTransferError("The training data has no groups", where, "name their column with --group-column")
    inside = np.array([group == name for group in groups])
    if not inside.any():
        raise unknown("group", name, sorted({group for group in groups if not group.startswith("\0")}), where)
    if inside.all():
        raise MMTransferError("All training examples are of this group", where, "give data with several groups")
    return table.select(np.flatnonzero(~inside)), table.select(np.flatnonzero(inside))


def warn_shared(train: Table, other: Table, option: str) -> None:
    """Says aloud how many groups of another split the training data has as well."""
    groups = [set(of(table) or ()) for table in (train, other)]
    ours, theirs = ({group for group in side if not group.startswith("\0")} for side in groups)
    if ours & theirs:
        logger.warning(
            "%s shares %d of its %d groups with the training data: its scores do not tell how new groups will do",
            option,
            len(ours & theirs),
            len(theirs),
        )
