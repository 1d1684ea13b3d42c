"""Paired differences against closed forms, libraries and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_rel

from mmtransfer.metrics import F1, Margins, paired


def accuracy(margins: Margins) -> np.ndarray:
    return margins.hits.sum(1) / margins.references.sum(1)


def test_mcnemar_is_the_binomial_test_of_the_discordant():
    first = np.array([True] * 60 + [True] * 15 + [False] * 4 + [False] * 21)
    second = np.array([True] * 60 + [False] * 15 + [True] * 4 + [False] * 21)
    found = paired.mcnemar(first, second)
    assert found.value == pytest.approx(0.11) and found.n == 100
    assert found.p == pytest.approx(binomtest(4, 19).pvalue) and found.p < 0.05
    assert 0.01 < found.low < 0.03 and 0.19 < found.high < 0.21
    back = paired.mcnemar(second, first)
    assert (back.low, back.high, back.p) == pytest.approx((-found.high, -found.low, found.p))


def test_newcombes_own_example():
    """Newcombe 1998, table II (a): 36, 12, 2, 0; method 10: 0.0569 to 0.3404."""
    cells = [(True, True)] * 36 + [(True, False)] * 12 + [(False, True)] * 2
    first, second = (np.array(column) for column in zip(*cells, strict=True))
    found = paired.mcnemar(first, second)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=2e-4)


def test_equal_runs_do_not_differ():
    right = np.array([True, False, True])
    assert paired.mcnemar(right, right).p == 1.0
    assert paired.mcnemar(right, right).low < 0 < paired.mcnemar(right, right).high
    codes = np.array([0, 1, 2])
    found = paired.bootstrap(codes, [codes], [codes], 3, accuracy)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_intervals_of_pairs_cover():
    rng, trials = np.random.default_rng(1), 300
    truth = norm.cdf(1.0 / 1.49**0.5) - norm.cdf(0.8 / 1.49**0.5)
    covered = np.zeros(2)
    for trial in range(trials):
        hard = rng.normal(size=150)
        right = [hard + 0.7 * rng.normal(size=150) < cut for cut in (1.0, 0.8)]
        targets = rng.integers(3, size=150)
        runs = [np.where(one, targets, (targets + 1) % 3) for one in right]
        exact = paired.mcnemar(*right)
        drawn = paired.bootstrap(targets, runs[:1], runs[1:], 3, accuracy, seed=trial, draws=300)
        covered += [exact.low <= truth <= exact.high, drawn.low <= truth <= drawn.high]
    assert (covered / trials > 0.91).all()


def test_macro_f1_is_that_of_the_metric_and_a_clear_gain_is_seen():
    rng = np.random.default_rng(0)
    targets = rng.integers(4, size=400)
    good, bad = (np.where(rng.random(400) < share, targets, rng.integers(4, size=400)) for share in (0.9, 0.7))
    metric = F1(4)
    found = paired.bootstrap(targets, [good], [bad], 4, lambda margins: metric.averages(margins)[:, 0])
    scores = []
    for run in (good, bad):
        metric.reset()
        metric.add_batch(predictions=run, references=targets)
        scores.append(metric.compute()["f1_macro"])
    assert found.value == pytest.approx(scores[0] - scores[1])
    assert found.low > 0 and found.p < 0.001
    again = paired.bootstrap(targets, [good], [bad], 4, lambda margins: metric.averages(margins)[:, 0])
    assert again == found


def test_seeds_are_crossed_with_examples():
    """Seeds that spread widely widen the interval, which one seed alone cannot know."""
    rng = np.random.default_rng(0)
    targets = rng.integers(2, size=2000)

    def runs(*shares: float) -> list[np.ndarray]:
        return [np.where(rng.random(2000) < share, targets, 1 - targets) for share in shares]

    steady = paired.bootstrap(targets, runs(0.8, 0.8, 0.8), runs(0.78, 0.78, 0.78), 2, accuracy)
    spread = paired.bootstrap(targets, runs(0.7, 0.8, 0.9), runs(0.68, 0.78, 0.88), 2, accuracy)
    assert "seeds crossed" in steady.method
    assert spread.high - spread.low > 2 * (steady.high - steady.low)


def test_the_jackknife_of_equal_groups_is_students_paired_test():
    """With as many words a speaker, leaving one out is the t test of the speakers' differences."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, size=(2, 12))
    found = paired.jackknife_difference([first], [second], np.full(12, 10), [f"s{n}" for n in range(12)], "speaker")
    assert found.value == pytest.approx((first.sum() - second.sum()) / 120) and found.n == 120
    assert found.p == pytest.approx(ttest_rel(first / 10, second / 10).pvalue)
    assert found.method == "paired jackknife by speaker, 12 groups"


def test_one_speaker_alone_says_nothing():
    edits, words = np.array([1, 2]), np.array([5, 5])
    found = paired.jackknife_difference([edits], [edits + 1], words, ["a", "a"], "speaker")
    assert found.value == pytest.approx(-0.2) and (found.low, found.high, found.p) == (None, None, None)


def test_seeds_of_speech_widen_the_interval():
    edits, words = np.array([1, 2, 1, 0]), np.full(4, 10)
    groups = list("abcd")
    one = paired.jackknife_difference([edits], [edits[::-1]], words, groups, "speaker")
    more = paired.jackknife_difference([edits, edits + 3], [edits[::-1], edits[::-1] + 3], words, groups, "speaker")
    assert more.value == pytest.approx(one.value) and more.high > one.high


def test_holm_by_hand():
    assert paired.holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert paired.holm([0.6, 0.9]) == [1.0, 1.0]
    assert paired.holm([]) == []
