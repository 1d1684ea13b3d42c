"""Multi-label metrics: scikit-learn's values, streaming in pieces, intervals of resampled examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import MultiLabelF1, SubsetAccuracy, wilson
from mmtransfer.metrics.multilabel import AVERAGES

LABELS = 5
sets = st.lists(st.integers(0, 1), min_size=LABELS, max_size=LABELS)
examples = st.lists(st.tuples(sets, sets), min_size=1, max_size=30)


def fill(metric, rows):
    predictions, references = zip(*rows, strict=True)
    metric.add_batch(predictions=predictions, references=references)
    return metric


def random_rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.random((n, LABELS)) < [0.1, 0.3, 0.5, 0.2, 0.05]
    return np.where(rng.random((n, LABELS)) < 0.2, ~true, true), true


@given(examples)
@settings(max_examples=30, deadline=None)
def test_values_are_scikit_learns(rows):
    predictions, references = map(np.array, zip(*rows, strict=True))
    found = fill(MultiLabelF1(LABELS), rows).compute()
    assert list(found) == [f"f1_{name}" for name in AVERAGES]
    for name in AVERAGES:
        known = f1_score(references, predictions, average=name, zero_division=0)
        assert found[f"f1_{name}"] == pytest.approx(known, abs=1e-12)
    exact = fill(SubsetAccuracy(LABELS), rows).compute()
    assert exact == {"subset_accuracy": pytest.approx(accuracy_score(references, predictions))}


def test_labels_are_scikit_learns_and_absent_ones_have_no_value():
    predictions, references = random_rows(60)
    predictions[:, 1] = references[:, 1] = False
    metric = MultiLabelF1(LABELS)
    metric.add_batch(predictions=predictions, references=references)
    known = f1_score(references, predictions, average=None, zero_division=0)
    scores = metric.per_label()
    assert scores[1].value is None
    for number in (0, 2, 3, 4):
        score = scores[number]
        assert score.value == pytest.approx(known[number]) and score.n == references[:, number].sum()
        assert score.low <= score.value <= score.high and score.low < score.high


@given(examples, st.integers(1, 7))
@settings(max_examples=20, deadline=None)
def test_pieces_equal_the_whole(rows, size):
    for build in (MultiLabelF1, SubsetAccuracy):
        whole, pieces = fill(build(LABELS), rows), build(LABELS)
        for start in range(0, len(rows), size):
            fill(pieces, rows[start : start + size])
        assert len(pieces) == len(whole) == len(rows)
        assert pieces.compute() == whole.compute() and pieces.scores() == whole.scores()


def test_the_interval_is_that_of_resampled_examples():
    predictions, references = random_rows(80)
    metric = MultiLabelF1(LABELS)
    metric.add_batch(predictions=torch.from_numpy(predictions), references=references)
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 80, 80) for _ in range(120)]
    for name, score in metric.scores().items():
        kind = name.removeprefix("f1_")
        values = [f1_score(references[i], predictions[i], average=kind, zero_division=0) for i in drawn]
        p, half = score.value, (np.log(score.high / (1 - score.high)) - np.log(score.low / (1 - score.low))) / 2
        assert half * p * (1 - p) / 1.96 == pytest.approx(np.std(values), rel=0.3)
        assert score.n == 80 and score.low < p < score.high


def test_where_nothing_varies_the_interval_is_wilsons():
    same = [([1, 0, 0, 0, 0], [1, 0, 0, 0, 0])] * 9
    scores = fill(MultiLabelF1(LABELS), same).scores()
    assert (scores["f1_micro"].value, scores["f1_micro"].low) == (1.0, wilson(9, 9).low)
    assert scores["f1_macro"].value == pytest.approx(1 / LABELS)
    nothing = fill(MultiLabelF1(LABELS), [([0] * LABELS, [0] * LABELS)] * 3).scores()
    assert {score.value for score in nothing.values()} == {0.0} and nothing["f1_micro"].low is None


@pytest.mark.parametrize(
    "predictions, message",
    [
        ([[0, 1]], r"predictions have shape \(1, 2\), not \(n, 5\)"),
        ([[0, 1, 2, 0, 0]], "predictions are not all 0 or 1"),
        ([], "0 predictions for 1 references"),
    ],
)
def test_wrong_inputs_are_named(predictions, message):
    metric = MultiLabelF1(LABELS)
    with pytest.raises(MMTransferError, match=message):
        metric.add_batch(predictions=predictions, references=[[0] * LABELS])
    with pytest.raises(MMTransferError, match="Nothing was added"):
        metric.scores()
