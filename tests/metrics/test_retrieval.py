"""Retrieval: neighbours are those of a plain search; counts are those of the definition."""

from __future__ import annotations

import numpy as np
import pytest

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import RetrievalRecall, nearest, retrieval, wilson


def plain(queries, gallery, k, leave_out):
    found = []
    for row, query in enumerate(queries):
        cosines = [query @ other / (np.linalg.norm(query) * np.linalg.norm(other)) for other in gallery]
        order = [n for n in sorted(range(len(gallery)), key=lambda n: -cosines[n]) if not (leave_out and n == row)]
        found.append(order[:k])
    return found


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("block", [7, 4_000_000])
def test_neighbours_are_those_of_a_plain_search(leave_out, block, monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK", block)
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(23, 5)) * rng.uniform(0.1, 9, (23, 1))
    queries = gallery if leave_out else rng.normal(size=(11, 5))
    assert nearest(queries, gallery, 4, leave_out).tolist() == plain(queries, gallery, 4, leave_out)


def test_equal_neighbours_keep_the_gallerys_order_and_zeros_are_no_trouble():
    gallery = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    assert nearest(np.array([[3.0, 0.0]]), gallery, 3).tolist() == [[1, 2, 0]]
    assert nearest(np.zeros((1, 2)), gallery, 3).tolist() == [[0, 1, 2]]


def test_more_neighbours_than_there_are_is_refused():
    with pytest.raises(MMTransferError, match="3 neighbours of 2"):
        nearest(np.eye(3), np.eye(3), 3, leave_out=True)


def test_recall_counts_queries_with_one_of_their_class_among_the_first_k():
    metric = RetrievalRecall((1, 3))
    metric.add_batch(predictions=[["a", "b", "b"], ["b", "b", "a"]], references=["a", "a"])
    metric.add_batch(predictions=[["a", "a", "a"]], references=["b"])
    assert metric.compute() == {"recall_at_1": 1 / 3, "recall_at_3": 2 / 3}
    assert metric.scores()["recall_at_3"] == wilson(2, 3)
    metric.reset()
    with pytest.raises(MMTransferError, match="Nothing was added"):
        metric.compute()


def test_too_few_neighbours_and_ks_that_are_none_are_refused():
    with pytest.raises(MMTransferError, match=r"predictions have shape \(1, 2\)"):
        RetrievalRecall((3,)).add_batch(predictions=[[1, 2]], references=[1])
    with pytest.raises(MMTransferError, match=r"k is \[0\]"):
        RetrievalRecall((0,))
