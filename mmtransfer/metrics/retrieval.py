"""Retrieval: nearest neighbours by cosine, and how often one of the first k is of the right class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics.intervals import BLOCK, Score, wilson
from mmtransfer.metrics.streaming import StreamingMetric


def nearest(queries: np.ndarray, gallery: np.ndarray, k: int, leave_out: bool = False) -> np.ndarray:
    """Rows of the gallery nearest to each query by cosine, best first: int64 (queries, k).

    `queries` (queries, width), `gallery` (gallery, width); equal similarities in the gallery's order; a vector of zeros
    is equally far from everything. `leave_out`: queries are the gallery's own rows, each not its own neighbour.
    Needs blocks of 32 MB besides the arrays, whatever their sizes.
    """
    if not 0 < k <= len(gallery) - leave_out:
        raise MMTransferError(
            f"{k} neighbours of {len(gallery) - leave_out}", "k", f"give 1 to {len(gallery) - leave_out}"
        )
    one, other = _unit(queries), _unit(gallery)
    found = np.empty((len(one), k), np.int64)
    size = max(1, BLOCK // len(other))
    for start in range(0, len(one), size):
        similarity = one[start : start + size] @ other.T
        if leave_out:
            rows = np.arange(len(similarity))
            similarity[rows, start + rows] = -np.inf
        found[start : start + size] = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class RetrievalRecall(StreamingMetric):
    """The share of queries with an item of their class among the first k, for several k, with Wilson's interval.

    Known as recall@k in metric learning (Jegou et al. 2011; Musgrave et al. 2020). Queries are taken as independent of
    each other, the gallery as given.

    Args:
        ks: the numbers of neighbours looked at; names are "recall_at_K".
    """

    takes = "predictions (n, at least the largest k): classes of neighbours, nearest first; references (n,): classes."
    value_type = datasets.Sequence(datasets.Value("int64"))

    def __init__(self, ks: Sequence[int] = (1, 5, 10)) -> None:
        if not ks or min(ks) < 1:
            raise MMTransferError(f"k is {list(ks)}", "the metric retrieval_recall", "give numbers of 1 or more")
        self.ks = tuple(ks)
        super().__init__()

    def reset(self) -> None:
        self.queries = 0
        #: queries answered within the first k, by k.
        self.hits = dict.fromkeys(self.ks, 0)

    def __len__(self) -> int:
        return self.queries

    def _count(self, predictions: Any, references: Any) -> None:
        ranked, true = np.asarray(predictions), np.asarray(references)
        if len(true) and (ranked.ndim != 2 or ranked.shape[1] < max(self.ks)):
            raise MMTransferError(
                f"The predictions have shape {ranked.shape}", f"the metric {self.name}", f"give {self.takes}"
            )
        for k in self.ks if len(true) else ():
            self.hits[k] += int((ranked[:, :k] == true[:, None]).any(1).sum())
        self.queries += len(true)

    def _compute(self) -> dict[str, float]:
        return {f"recall_at_{k}": hits / self.queries for k, hits in self.hits.items()}

    def scores(self) -> dict[str, Score]:
        self._check_counted()
        return {f"recall_at_{k}": wilson(hits, self.queries) for k, hits in self.hits.items()}
