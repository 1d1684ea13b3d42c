"""Negative log-likelihood, Brier score and calibration error: against scikit-learn and by hand, with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import ECE, NLL, Brier


def drawn(n, sharpness=1.0, classes=3, seed=0):
    """Probabilities, and answers drawn from them: calibrated, but for what is made of them with `sharpness`."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, classes))
    cumulative = softmax(logits, 1).cumsum(1)
    return softmax(sharpness * logits, 1), (random.random((n, 1)) < cumulative).argmax(1)


def score(metric, probabilities, true):
    metric.add_batch(predictions=probabilities, references=true)
    found = metric.scores()[metric.label]
    assert found.value == pytest.approx(metric.compute()[metric.label]) and found.n == len(true)
    return found


def test_likelihood_and_brier_score_are_those_of_scikit_learn():
    probabilities, true = drawn(400)
    assert score(NLL(), probabilities, true).value == pytest.approx(log_loss(true, probabilities))
    expected = brier_score_loss(true, probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert score(Brier(), probabilities, true).value == pytest.approx(expected)
    labels = (np.random.default_rng(1).random((400, 3)) < probabilities).astype(int)
    each = [log_loss(labels[:, k], probabilities[:, k]) for k in range(3)]
    assert score(NLL(), probabilities, labels).value == pytest.approx(np.mean(each))
    assert score(Brier(), probabilities, labels).value == pytest.approx(np.square(probabilities - labels).mean())


def test_calibration_error_of_two_bins_by_hand_whatever_the_order():
    confidence = np.array([0.9] * 10 + [0.6] * 10)
    right = np.array([1] * 7 + [0] * 3 + [1] * 6 + [0] * 4)
    probabilities, true = np.stack([confidence, 1 - confidence], 1), 1 - right
    order = np.random.default_rng(0).permutation(20)
    for places in (np.arange(20), order):
        assert score(ECE(), probabilities[places], true[places]).value == pytest.approx(0.5 * 0.2)
    labels = np.stack([1 - true, true], 1)  # every probability is a decision: both columns are as far off
    assert score(ECE(), probabilities, labels).value == pytest.approx(0.5 * 0.2)


def test_what_is_calibrated_has_a_small_error_and_what_is_too_sure_a_large_one():
    small, large = (score(ECE(), *drawn(4000, sharpness)) for sharpness in (1.0, 3.0))
    assert small.value < 0.03 < 0.1 < large.low < large.value < large.high


@pytest.mark.parametrize(("metric", "tolerance"), [(NLL, 0.1), (Brier, 0.1), (ECE, 0.1)])
def test_intervals_are_as_wide_as_a_bootstrap_of_examples_says(metric, tolerance):
    probabilities, true = drawn(500, 2.0)
    found, random = score(metric(), probabilities, true), np.random.default_rng(0)
    again = []
    for _ in range(400):
        places = random.integers(500, size=500)
        again.append(metric().compute(predictions=probabilities[places], references=true[places])[metric.label])
    width = 3.92 * np.std(again, ddof=1)
    assert found.high - found.low == pytest.approx(width, rel=tolerance + 0.15)
    assert found.low < found.value < found.high


def test_certain_and_right_has_no_spread_and_certain_and_wrong_a_finite_loss():
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    for metric in (NLL, Brier, ECE):
        found = score(metric(), sure, np.array([0, 0]))
        assert (found.value, found.low) == (0.0, None) and "does not vary" in found.method
    assert np.isfinite(score(NLL(), sure, np.array([0, 1])).value)
    with pytest.raises(MMTransferError, match=r"predictions have shape \(2, 2\), the references \(2, 3\)"):
        NLL().add_batch(predictions=sure, references=np.zeros((2, 3)))
