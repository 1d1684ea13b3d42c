"""Which fold each training example is in: groups whole, classes spread evenly, the same whatever the order of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmtransfer.errors import MMTransferError
from mmtransfer.probe.rows import Rows
from mmtransfer.seeding import identity


def deal(rows: Rows, ids: Sequence[str], folds: int, seed: int, groups: Sequence[str] | None = None) -> Tensor:
    """The number of each example's fold, int64 (n,), from 0; a pure function of (seed, ids), answers and groups.

    Each class is dealt out in turn, of several labels an example's rarest, so that a class with fewer examples than
    folds has them in different ones. With `groups`, one an example, each group lies in one fold, in the way of
    scikit-learn's StratifiedGroupKFold. Fewer examples, or groups, than `folds` make as many folds as there are.
    Raises MMTransferError for fewer than two.
    """
    drawn = np.array([identity(f"{seed}/{name}") for name in ids], np.int64)
    strata = _strata(rows)
    if groups is None:
        if len(ids) < 2:
            raise MMTransferError(f"{len(ids)} example(s) make no folds", "the training data", "give more")
        order = np.lexsort((drawn, strata))
        dealt = np.empty(len(ids), np.int64)
        dealt[order] = np.arange(len(ids)) % folds
    else:
        dealt = _whole(strata, np.asarray(groups, dtype=object).astype(str), folds, seed)
    return torch.from_numpy(dealt).to(rows.device)


def _strata(rows: Rows) -> np.ndarray:
    """A class number of each example (n,): of labels its rarest, -1 without any; of values 0."""
    targets = torch.cat(list(rows.targets)).cpu().numpy()
    if rows.kind == "classes":
        return np.asarray(targets, np.int64)
    if rows.kind == "values":
        return np.zeros(len(targets), np.int64)
    rarest = np.argsort(targets.sum(0), kind="stable")
    return np.where(targets.any(1), rarest[targets[:, rarest].argmax(1)], -1)


def _whole(strata: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Folds of whole groups: those whose classes are least even come first, each goes where it leaves the shares of all
    classes most even over the folds; of equal places, to the fold with the fewest examples."""
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise MMTransferError(
            f"{len(names)} group(s) make no folds",
            "--group-column of the training data",
            "give data with more groups, or --validation DATA of its own",
        )
    classes = np.unique(strata, return_inverse=True)[1]
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (group, classes), 1)
    drawn = np.array([identity(f"{seed}/{name}") for name in names.tolist()], np.int64)
    held = np.zeros((min(folds, len(names)), counts.shape[1]))
    shares, fold = 1.0 / counts.sum(0), np.empty(len(names), np.int64)
    for number in np.lexsort((drawn, -np.round(counts.std(1), 9))):
        # of all folds' squared shares only those of the one that grows change
        grown = ((2 * held + counts[number]) * counts[number] * shares**2).sum(1)
        place = np.lexsort((held.sum(1), np.round(grown, 12)))[0]
        fold[number] = place
        held[place] += counts[number]
    return np.asarray(fold[group], np.int64)


def known(rows: Rows, fold: Tensor) -> Tensor:
    """bool (outputs,): which classes, or labels, have an example outside a fold; `fold`: bool (n,)."""
    targets = torch.cat(list(rows.targets))[~fold]
    if rows.kind == "classes":
        return torch.bincount(targets, minlength=rows.outputs) > 0
    return targets.reshape(len(targets), rows.outputs).bool().any(0)


def answerable(rows: Rows, known: Tensor) -> Tensor:
    """bool (n,): of which examples all classes, or labels, are known."""
    targets = torch.cat(list(rows.targets))
    return known[targets] if rows.kind == "classes" else ~(targets.bool() & ~known).any(1)


def tempered(outputs: Tensor, rows: Rows, known: Tensor, n: int) -> Tensor:
    """Outputs (rows, outputs) of a model of `n` examples, those of what it had no example of as if half a one had been
    there: its own, of no bias that is penalised, go to minus infinity."""
    share = float(np.log(0.5 / max(1, n)))
    if bool(known.all()):
        return outputs
    if rows.kind == "classes":
        rest = outputs[:, known].logsumexp(1, keepdim=True)
        return torch.where(known, outputs, rest + share)
    return torch.where(known, outputs, share)
