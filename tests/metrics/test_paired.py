"""Paired differences against closed forms, libraries and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_rel

from mmtransfer.metrics import CER, F1, R2, Margins, MultiLabelF1, SubsetAccuracy, paired
from mmtransfer.metrics.stored import METRICS, metric_of


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


def pair_of_numbers(rng: np.random.Generator, n: int, errors: tuple[float, ...]) -> list[dict]:
    """Runs whose errors have a part in common, since an example is hard for all."""
    target, hard = rng.normal(size=n), rng.normal(size=n)
    return [
        {"target": target.tolist(), "prediction": (target + e * (hard + rng.normal(size=n))).tolist()} for e in errors
    ]


def pair_of_labels(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> list[dict]:
    true, hard = rng.random((n, 4)) < 0.3, rng.normal(size=(n, 4))

    def named(sets: np.ndarray) -> list[list[str]]:
        return [[f"l{label}" for label in np.flatnonzero(row)] for row in sets]

    right = [(hard + rng.normal(size=(n, 4))) / 2**0.5 < norm.ppf(share) for share in shares]
    return [{"target": named(true), "prediction": named(np.where(own, true, ~true))} for own in right]


@pytest.mark.parametrize(
    ("kind", "name", "make", "values"),
    [(R2, "r2", pair_of_numbers, (0.3, 0.35)), (MultiLabelF1, "f1_micro", pair_of_labels, (0.9, 0.85))],
)
def test_intervals_of_pairs_of_labels_and_numbers_cover(kind, name, make, values):
    """The truth is the difference on 200,000 examples."""
    rng, trials = np.random.default_rng(0), 120
    many = kind.drawn(name, make(rng, 200_000, values)).statistic(np.ones((1, 200_000)))[0]
    truth, covered = many[0] - many[1], 0
    for trial in range(trials):
        first, second = make(rng, 100, values)
        found = paired.drawn_difference(kind.drawn(name, [first, second]), 1, seed=trial, draws=300)
        covered += found.low <= truth <= found.high
    assert 0.88 < covered / trials <= 1.0


def test_equal_runs_of_numbers_and_labels_do_not_differ():
    rng = np.random.default_rng(0)
    for name, run in (("r2", pair_of_numbers(rng, 50, (0.3,))), ("f1_micro", pair_of_labels(rng, 50, (0.9,)))):
        metric = metric_of(name, run[0])
        found = metric.difference(name, run, run)
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_exact_sets_of_two_runs_have_the_exact_test():
    first, second = pair_of_labels(np.random.default_rng(0), 60, (0.95, 0.7))
    assert SubsetAccuracy.difference("subset_accuracy", [first], [second]).method.startswith("exact McNemar")
    several = SubsetAccuracy.difference("subset_accuracy", [first, first], [second])
    assert "seeds crossed" in several.method and several.low > 0


def test_one_example_and_answers_without_spread_say_nothing():
    one = [{"target": [1.0], "prediction": [2.0]}], [{"target": [1.0], "prediction": [1.5]}]
    found = metric_of("rmse", one[0][0]).difference("rmse", *one)
    assert found.value == 0.5 and (found.low, found.high, found.p) == (None, None, None)
    flat = [{"target": [1.0] * 5, "prediction": [float(n) for n in range(5)]}]
    found = R2.difference("r2", flat, flat)
    assert np.isnan(found.value) and found.p is None and "no value" in found.method


def test_characters_are_compared_as_words_are():
    said = [["abc", "ab", "xy"], ["ab", "a", "x"]]
    runs = [{"target": ["abc", "abc", "xyz"], "prediction": one, "speaker": ["s", "t", "u"]} for one in said]
    found = CER.difference("cer", runs[:1], runs[1:])
    assert found.value == pytest.approx(2 / 9 - 5 / 9) and found.n == 9 and "by speaker, 3 groups" in found.method


def test_what_is_told_beside_a_metric_has_a_metric_of_the_same_columns():
    for name, kinds in METRICS.items():
        for kind in kinds:
            beside = {other for told in kind.beside for other in METRICS[told] if other.lists == kind.lists}
            assert name in kind.stored and {other.columns for other in beside} <= {kind.columns}
            assert all(any(other.lists == kind.lists for other in METRICS[told]) for told in kind.beside)
