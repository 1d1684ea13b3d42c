"""Intervals against known values, hand computation and simulated sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t

from mmtransfer.metrics import F1, Margins, Score, cells_bootstrap, jackknife, wilson
from mmtransfer.metrics import intervals as module
from mmtransfer.metrics.paired import Difference


def accuracy(margins: Margins) -> np.ndarray:
    return (margins.hits.sum(1) / margins.references.sum(1))[:, None]


@pytest.mark.parametrize("successes, n", [(0, 10), (1, 10), (81, 263), (153, 153), (9_999, 10_000)])
def test_wilson_is_scipys(successes, n):
    score = wilson(successes, n)
    known = binomtest(successes, n).proportion_ci(method="wilson")
    assert (score.value, score.n, score.method) == (successes / n, n, "Wilson")
    assert (score.low, score.high) == pytest.approx((known.low, known.high), abs=1e-12)
    assert 0 <= score.low <= score.value <= score.high <= 1


def test_wilson_against_published_values():
    score = wilson(81, 263)  # Newcombe 1998, Statistics in Medicine 17:857, table I: 0.2553 to 0.3662
    assert (round(score.low, 4), round(score.high, 4)) == (0.2553, 0.3662)


def test_wilson_of_nothing_has_no_value():
    assert wilson(0, 0) == Score(None, None, None, 0, "Wilson")


def test_score_as_result_json_holds_it():
    assert Score(0.5, 0.25, 0.75, 8, "Wilson").as_dict() == {
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
        "n": 8,
        "method": "Wilson",
    }


def test_bootstrap_of_the_accuracy_has_the_binomial_deviation():
    confusion = np.array([[60, 20], [10, 110]])
    [score] = cells_bootstrap(confusion, accuracy, draws=20_000)
    p = 170 / 200
    half = module.Z * np.sqrt(p * (1 - p) / 200) / (p * (1 - p))
    logit = np.log(p / (1 - p))
    assert score.value == p and score.n == 200
    assert score.low == pytest.approx(1 / (1 + np.exp(half - logit)), abs=2e-3)
    assert score.high == pytest.approx(1 / (1 + np.exp(-half - logit)), abs=2e-3)


def test_bootstrap_margins_are_those_of_the_drawn_matrix():
    confusion = np.array([[5, 2, 0], [0, 0, 3], [1, 0, 7]])
    seen = []

    def keep(margins: Margins) -> np.ndarray:
        seen.append(margins)
        return accuracy(margins)

    cells_bootstrap(confusion, keep, draws=500)
    drawn = seen[0]
    assert drawn.hits.shape == drawn.references.shape == drawn.predictions.shape == (500, 3)
    assert (drawn.references.sum(1) == 18).all() and (drawn.predictions.sum(1) == 18).all()
    assert (drawn.hits <= np.minimum(drawn.references, drawn.predictions)).all()
    assert (drawn.hits[:, 1] == 0).all() and drawn.hits[:, 2].max() > 7
    for name in ("hits", "references", "predictions"):
        assert getattr(drawn, name).mean(0) == pytest.approx(getattr(Margins.of(confusion), name)[0], abs=0.4)


def test_bootstrap_does_not_depend_on_the_block_and_follows_the_seed(monkeypatch):
    confusion = np.array([[30, 5], [7, 58]])
    whole = cells_bootstrap(confusion, accuracy, draws=100)
    monkeypatch.setattr(module, "BLOCK", 30)
    assert cells_bootstrap(confusion, accuracy, draws=100) == whole
    assert cells_bootstrap(confusion, accuracy, draws=100, seed=1) != whole


def test_many_cells_of_few_examples_vary_as_resampled_examples_do(monkeypatch):
    rng = np.random.default_rng(0)
    references = rng.integers(0, 400, 3000)
    predictions = np.where(rng.random(3000) < 0.5, references, rng.integers(0, 400, 3000))
    metric = F1(400)
    metric.add_batch(predictions=predictions, references=references)
    assert np.count_nonzero(metric.confusion) > module.MANY_CELLS
    many = metric.scores()["f1_macro"]
    monkeypatch.setattr(module, "BLOCK", 30_000)
    assert metric.scores()["f1_macro"] == many
    monkeypatch.setattr(module, "MANY_CELLS", 10**9)
    few = metric.scores()["f1_macro"]
    assert few.value == many.value and few != many
    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=2e-3)


def test_bootstrap_that_cannot_vary_falls_back_to_wilson():
    [perfect] = cells_bootstrap(np.diag([40, 60]), accuracy)
    assert (perfect.value, perfect.low, perfect.high) == (1.0, wilson(100, 100).low, 1.0)
    [few] = cells_bootstrap(np.diag([40, 60]), accuracy, trials=[10])
    assert few.low == wilson(10, 10).low and few.n == 100
    [never] = cells_bootstrap(np.array([[0, 40], [60, 0]]), accuracy)
    assert (never.low, never.high) == (0.0, wilson(0, 100).high)


@pytest.mark.parametrize("correct", [(0.95, 0.9, 0.85), (0.7, 0.6, 0.8)])
def test_macro_f1_interval_covers_the_truth_at_153_examples(correct):
    cells = np.array([[p if i == j else (1 - p) / 2 for j in range(3)] for i, p in enumerate(correct)]) / 3
    truth = F1(3)
    truth.confusion = np.round(cells * 1e9).astype(np.int64)
    true = truth.compute()["f1_macro"]
    rng = np.random.default_rng(0)
    metric, covered = F1(3), []
    for _ in range(600):
        metric.confusion = rng.multinomial(153, cells.ravel()).reshape(3, 3)
        score = metric.scores()["f1_macro"]
        covered.append(score.low <= true <= score.high)
    assert 0.93 <= np.mean(covered) <= 0.99


def test_jackknife_by_hand():
    # Without each group in turn: 5/30, 4/40, 3/50 (edits 1 2 3, words 30 20 10); pooled 6/60.
    score = jackknife([1, 2, 3], [30, 20, 10], "speaker")
    without = [5 / 30, 4 / 40, 3 / 50]
    mean = sum(without) / 3
    error = (2 / 3 * sum((value - mean) ** 2 for value in without)) ** 0.5
    half = t.ppf(0.975, 2) * error
    assert score.value == pytest.approx(0.1)
    assert score.low == 0.0 and 0.1 - half < 0
    assert score.high == pytest.approx(0.1 + half)
    assert (score.n, score.method) == (60, "jackknife by speaker, 3 groups")


def test_jackknife_low_end_is_free_where_positive():
    edits, words = [10, 12, 11, 9], [50, 50, 50, 50]
    score = jackknife(edits, words)
    # Equal groups: the jackknife is the t interval of the mean of the groups' ratios.
    ratios = np.array(edits) / 50
    half = t.ppf(0.975, 3) * ratios.std(ddof=1) / 2
    assert (score.low, score.high) == pytest.approx((0.21 - half, 0.21 + half))


@pytest.mark.parametrize("edits, words", [([3], [10]), ([3, 1], [10, 0])])
def test_jackknife_of_what_cannot_be_left_out_has_no_interval(edits, words):
    score = jackknife(edits, words)
    assert score.value == sum(edits) / 10
    assert score.low is None and score.high is None


def test_jackknife_without_words_or_edits():
    assert jackknife([2], [0]) == Score(None, None, None, 0, "jackknife by group, 1 group")
    perfect = jackknife([0, 0], [40, 60])
    assert (perfect.value, perfect.low, perfect.high) == (0.0, 0.0, wilson(0, 100).high)


def test_jackknife_covers_the_pooled_rate_of_ten_speakers():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1500):
        rates = rng.beta(4, 16, 10)  # mean 0.2: speakers differ
        score = jackknife(rng.binomial(80, rates), [80] * 10)
        covered.append(score.low <= 0.2 <= score.high)
    assert 0.92 <= np.mean(covered) <= 0.97


def test_a_score_is_spoken_with_its_interval():
    score = Score(0.81234, 0.7, 0.9, 100, "by hand")
    assert str(score) == "0.8123 (0.7000 to 0.9000)" and f"{score:.2f}" == "0.81 (0.70 to 0.90)"
    assert f"{Difference(-0.05, -0.1, 0.01, 0.2, 9, 'by hand'):+.2f}" == "-0.05 (-0.10 to +0.01)"
    alone, none = Score(0.5, None, None, 1, "one speaker"), Score(None, None, None, 0, "nothing")
    assert (str(alone), alone.interval(), str(none), none.interval()) == ("0.5000", "unknown", "-", "unknown")
    assert Score.of(score.as_dict() | {"later": 1}) == score
