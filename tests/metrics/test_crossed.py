"""Crossed intervals: statistics are the metrics, seeds and examples both count, and the interval covers."""

from __future__ import annotations

import numpy as np
import pytest

from mmtransfer.metrics import (
    CER,
    F1,
    MAE,
    MSE,
    R2,
    RMSE,
    WER,
    Accuracy,
    MultiLabelF1,
    Precision,
    Recall,
    SubsetAccuracy,
    TopKAccuracy,
    wilson,
)
from mmtransfer.metrics.crossed import crossed
from mmtransfer.metrics.stored import drawn


def answers(runs: int, n: int, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 7, n).tolist()
    made = []
    for _ in range(runs):
        prediction = [t if rng.random() < 0.6 else int(rng.integers(0, 7)) for t in target]
        top5 = [[p, *rng.integers(0, 7, 4).tolist()] for p in prediction]
        made.append({"target": target, "prediction": prediction, "top5": top5})
    return made


def scored(metric, run: dict, column: str = "prediction") -> dict:
    metric.add_batch(predictions=run[column], references=run["target"])
    return {name: score.value for name, score in metric.scores().items()}


@pytest.mark.parametrize("kind", [Accuracy, Precision, Recall, F1, TopKAccuracy])
def test_the_statistic_under_equal_weights_is_the_metric(kind):
    runs = answers(3, 60, 0)
    column = "top5" if kind is TopKAccuracy else "prediction"
    expected = [scored(kind(), run, column) for run in runs]
    for name in expected[0]:
        statistic, units, share, *_ = drawn(name, runs)
        assert units == 60 and share
        assert statistic(np.ones((1, units)))[0] == pytest.approx([one[name] for one in expected])


@pytest.mark.parametrize("name", ["accuracy", "precision_macro", "f1_weighted"])
def test_weights_are_repetitions(name):
    runs = answers(2, 30, 1)
    weights = np.random.default_rng(2).multinomial(30, np.full(30, 1 / 30))
    again = [{key: np.repeat(run[key], weights, axis=0).tolist() for key in run} for run in runs]
    found = drawn(name, runs)[0](weights[None].astype(float))[0]
    assert found == pytest.approx(drawn(name, again)[0](np.ones((1, 30)))[0])


@pytest.mark.parametrize("kind", [WER, CER])
def test_word_errors_are_drawn_by_speaker(kind):
    target = ["a b c", "a b", "c", "d e f g"]
    runs = [
        {"target": target, "prediction": ["a b c", "a", "c d", "d"], "speaker": ["x", "y", "x", "z"]},
        {"target": target, "prediction": ["a", "a b", "c", "d e f"], "speaker": ["x", "y", "x", "z"]},
    ]
    statistic, units, share, unit, _ = drawn(kind.label, runs)
    assert units == 3 and not share and unit == "speaker"
    expected = []
    for run in runs:
        metric = kind()
        metric.add_batch(predictions=run["prediction"], references=target, groups=run["speaker"])
        expected.append(metric.scores()[kind.label].value)
    assert statistic(np.ones((1, 3)))[0] == pytest.approx(expected)


def test_word_errors_of_one_speaker_are_drawn_by_recording():
    said = [["a b c", "a", "c d", "d"], ["a", "a b", "c", "d e f"]]
    runs = [{"target": ["a b c", "a b", "c", "d e f g"], "prediction": one, "speaker": ["x"] * 4} for one in said]
    alone, unnamed = drawn("wer", runs), drawn("wer", [run | {"speaker": None} for run in runs])
    assert alone.units == 4 and crossed(*alone[:2], 2, False) == crossed(*unnamed[:2], 2, False)
    assert "by recording (one speaker, so it tells nothing of others) and seed" in alone.method


def test_few_speakers_give_the_interval_of_the_jackknife():
    rng = np.random.default_rng(0)
    words, speakers = "a b c d e f g h", [name for name in "wxyz" for _ in range(10)]
    rates = dict(zip("wxyz", (0.1, 0.3, 0.2, 0.5), strict=True))
    said = [" ".join("-" if rng.random() < rates[name] else word for word in words.split()) for name in speakers]
    run = {"target": [words] * 40, "prediction": said, "speaker": speakers}
    found = crossed(*drawn("wer", [run])[:2], 1, False)
    metric = WER()
    metric.add_batch(predictions=said, references=run["target"], groups=speakers)
    score = metric.scores()["wer"]
    assert found == pytest.approx((score.low, score.high), abs=0.003) and score.low > 0.04


LABELS = ["a", "b", "c"]


def labelled(runs: int, n: int, seed: int) -> list[dict]:
    """Any number of labels an example, each of them right in four of five cases."""
    rng = np.random.default_rng(seed)
    true = rng.random((n, 3)) < 0.4

    def named(sets: np.ndarray) -> list[list[str]]:
        return [[label for label, there in zip(LABELS, row, strict=True) if there] for row in sets]

    return [
        {"target": named(true), "prediction": named(np.where(rng.random((n, 3)) < 0.8, true, ~true))}
        for _ in range(runs)
    ]


def measured(runs: int, n: int, seed: int, error: float = 0.5) -> list[dict]:
    """Numbers far from 0, and predictions of them."""
    rng = np.random.default_rng(seed)
    target = 1e6 + rng.normal(size=n)
    return [
        {"target": target.tolist(), "prediction": (target + error * rng.normal(size=n)).tolist()} for _ in range(runs)
    ]


@pytest.mark.parametrize("kind", [MultiLabelF1, SubsetAccuracy])
def test_of_several_labels_the_statistic_is_the_metric(kind):
    runs = labelled(3, 60, 0)
    sets = [{name: [[label in own for label in LABELS] for own in run[name]] for name in run} for run in runs]
    expected = [scored(kind(3), run) for run in sets]
    for name in expected[0]:
        found = drawn(name, runs)
        assert found.units == 60 and found.share
        assert found.statistic(np.ones((1, 60)))[0] == pytest.approx([one[name] for one in expected])


@pytest.mark.parametrize("kind", [MSE, RMSE, MAE, R2])
def test_of_numbers_the_statistic_is_the_metric_and_r2_may_be_negative(kind):
    for error in (0.5, 3.0):
        runs = measured(3, 60, 0, error)
        expected = [scored(kind(), run)[kind.label] for run in runs]
        found = drawn(kind.label, runs)
        assert found.statistic(np.ones((1, 60)))[0] == pytest.approx(expected)
        low, high = crossed(found.statistic, 60, 3, found.share, found.lowest)
        assert low < np.mean(expected) < high and (low < 0) == (kind is R2 and error == 3.0)


@pytest.mark.parametrize("make", [labelled, measured])
def test_weights_of_labels_and_numbers_are_repetitions(make):
    runs, name = make(2, 30, 1), "f1_samples" if make is labelled else "r2"
    weights = np.random.default_rng(2).multinomial(30, np.full(30, 1 / 30))
    again = [
        {key: [value for value, count in zip(run[key], weights, strict=True) for _ in range(count)] for key in run}
        for run in runs
    ]
    found = drawn(name, runs).statistic(weights[None].astype(float))[0]
    assert found == pytest.approx(drawn(name, again).statistic(np.ones((1, 30)))[0])


def test_an_unknown_metric_has_no_statistic():
    assert drawn("perplexity", answers(2, 5, 0)) is None


def test_the_interval_is_the_same_every_time_and_inside():
    statistic, units, share, *_ = drawn("accuracy", answers(3, 50, 3))
    assert crossed(statistic, units, 3, share) == crossed(statistic, units, 3, share)


def test_where_nothing_varies_the_interval_is_wilsons():
    for share in (1.0, 0.0, 0.5):
        expected = wilson(share * 50, 50)
        found = crossed(lambda w, share=share: np.full((len(w), 2), share), 50, 2, True)
        assert found == pytest.approx((expected.low, expected.high))


def test_examples_do_not_average_out_over_seeds():
    """With answers that are the same for every seed, more seeds say nothing more about the test set."""
    one = answers(1, 200, 4)
    few, many = (crossed(*drawn("accuracy", one * runs)[:2], runs, True) for runs in (2, 20))
    assert few[1] - few[0] == pytest.approx(many[1] - many[0], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10])
def test_the_interval_covers_the_mean_over_seeds_and_examples(runs):
    """Answers are right with a probability that varies by example and by seed; 95 % are meant to cover."""
    rng, hits, trials = np.random.default_rng(0), 0, 150
    for _ in range(trials):
        skill, ease = rng.normal(0, 0.05, runs), rng.normal(0, 0.2, 100)
        right = rng.random((runs, 100)) < np.clip(0.6 + skill[:, None] + ease, 0, 1)
        target = [1] * 100
        records = [{"target": target, "prediction": row.astype(int).tolist()} for row in right]
        low, high = crossed(*drawn("accuracy", records)[:2], runs, True)
        hits += low <= 0.5982 <= high  # the mean of the clipped probability
    assert hits / trials >= 0.9
