"""Regression metrics: scikit-learn's values, streaming in pieces, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import MAE, MSE, R2, RMSE
from mmtransfer.metrics.regression import GROUPS

KNOWN = {MSE: mean_squared_error, RMSE: root_mean_squared_error, MAE: mean_absolute_error, R2: r2_score}


def data(n: int, seed: int = 0, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    references = 1000 + rng.normal(size=n)
    return references + noise * rng.normal(size=n), references


@pytest.mark.parametrize("cls", KNOWN)
@pytest.mark.parametrize("n", [5, GROUPS + 7])
def test_values_are_scikit_learns_in_pieces_or_at_once(cls, n):
    predictions, references = data(n)
    whole, pieces = cls(), cls()
    whole.add_batch(predictions=torch.from_numpy(predictions), references=references)
    for start in range(0, n, 13):
        pieces.add_batch(predictions=predictions[start : start + 13], references=references[start : start + 13])
    known = KNOWN[cls](references, predictions)
    assert whole.compute() == {cls.label: pytest.approx(known, rel=1e-9)}
    one, two = whole.scores()[cls.label], pieces.scores()[cls.label]
    assert one.n == two.n == n and one.value == pytest.approx(known, rel=1e-9)
    assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=1e-9)
    assert one.low < one.value < one.high


@pytest.mark.parametrize(("cls", "truth"), [(MSE, 0.25), (MAE, 0.5 * np.sqrt(2 / np.pi)), (R2, 0.75)])
def test_intervals_cover(cls, truth):
    covered = 0
    for seed in range(60):
        predictions, references = data(100, seed)
        metric = cls()
        metric.add_batch(predictions=predictions, references=references)
        score = metric.scores()[cls.label]
        covered += score.low <= truth <= score.high
    assert 52 <= covered <= 60


def test_groups_of_examples_have_the_interval_of_examples(monkeypatch):
    predictions, references = data(1500)
    scores = []
    for groups in (2000, 300):
        monkeypatch.setattr("mmtransfer.metrics.regression.GROUPS", groups)
        metric = R2()
        metric.add_batch(predictions=predictions, references=references)
        scores.append(metric.scores()["r2"])
    assert "groups" in scores[1].method and "groups" not in scores[0].method
    assert scores[1].high - scores[1].low == pytest.approx(scores[0].high - scores[0].low, rel=0.15)


def test_what_has_no_value_or_no_interval_says_so():
    constant = R2()
    constant.add_batch(predictions=[1.0, 2.0], references=[3.0, 3.0])
    assert constant.scores()["r2"].value is None and constant.compute() == {"r2": None}
    perfect = MSE()
    perfect.add_batch(predictions=[1.0, 2.0], references=[1.0, 2.0])
    assert perfect.scores()["mse"].value == 0.0 and perfect.scores()["mse"].low is None
    one = MAE()
    one.add(prediction=1.0, reference=2.0)
    assert one.scores()["mae"].value == 1.0 and one.scores()["mae"].high is None


@pytest.mark.parametrize(
    "predictions, message",
    [
        (["a"], "predictions are <U1 of shape"),
        ([[1.0]], r"predictions are float64 of shape \(1, 1\)"),
        ([float("nan")], "predictions are not all finite"),
    ],
)
def test_wrong_inputs_are_named(predictions, message):
    metric = MSE()
    with pytest.raises(MMTransferError, match=message):
        metric.add_batch(predictions=predictions, references=[1.0])
    with pytest.raises(MMTransferError, match="Nothing was added"):
        metric.scores()
