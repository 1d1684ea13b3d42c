"""Classification metrics: scikit-learn's values, streaming in pieces, evaluate's interface without disk or network."""

from __future__ import annotations

import socket

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import F1, Accuracy, ConfusionMatrix, Precision, Recall, TopKAccuracy, wilson

CLASSES = 6
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)
quick = settings(max_examples=40, deadline=None)


def fill(metric, examples):
    predictions, references = zip(*examples, strict=True)
    metric.add_batch(predictions=predictions, references=references)
    return metric


@given(pairs)
@quick
def test_accuracy_and_confusion_are_scikit_learns(examples):
    predictions, references = zip(*examples, strict=True)
    assert fill(Accuracy(), examples).compute() == {"accuracy": accuracy_score(references, predictions)}
    found = fill(ConfusionMatrix(CLASSES), examples).compute()["confusion_matrix"]
    assert found.dtype == np.int64
    assert (found == confusion_matrix(references, predictions, labels=range(CLASSES))).all()


@pytest.mark.parametrize("place, cls", list(enumerate([Precision, Recall, F1])))
@given(examples=pairs)
@quick
def test_averages_and_classes_are_scikit_learns(place, cls, examples):
    predictions, references = zip(*examples, strict=True)
    metric = fill(cls(CLASSES), examples)
    computed = metric.compute()
    assert list(computed) == [f"{cls.label}_{average}" for average in ("macro", "micro", "weighted")]
    for average in ("macro", "micro", "weighted"):
        known = precision_recall_fscore_support(references, predictions, average=average, zero_division=0)[place]
        assert computed[f"{cls.label}_{average}"] == pytest.approx(known, abs=1e-12)
    scores = metric.scores()
    assert {name: score.value for name, score in scores.items()} == pytest.approx(computed, abs=1e-12)
    assert all(score.low <= score.value <= score.high and score.n == len(examples) for score in scores.values())
    known = precision_recall_fscore_support(references, predictions, labels=range(CLASSES), zero_division=0)
    for number, score in metric.per_class().items():
        assert score.n == known[3][number]
        if number in predictions + references:
            assert score.value == pytest.approx(known[place][number], abs=1e-12)
        else:
            assert (score.value, score.low, score.high) == (None, None, None)


def test_labels_missing_from_predictions_or_references():
    examples = [(0, 0), (0, 1), (3, 0), (0, 1)]  # class 1 is never predicted, 3 never true, 2 absent
    recall = fill(Recall(4), examples)
    assert recall.compute()["recall_macro"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert [score.value for score in recall.per_class().values()] == [0.5, 0.0, None, 0.0]
    assert [score.n for score in recall.per_class().values()] == [2, 2, 0, 0]
    never_true = recall.per_class()[3]
    assert never_true.low is None and never_true.high is None
    assert fill(Precision(4), examples).per_class()[3].high == wilson(0, 1).high


def test_a_class_predicted_once_and_rightly_is_not_known_to_be_precise():
    precision = fill(Precision(2), [(1, 1), *[(0, 1)] * 50, *[(0, 0)] * 50]).per_class()[1]
    assert (precision.value, precision.n) == (1.0, 51)
    assert precision.low == wilson(1, 1).low


def test_shares_that_are_the_accuracy_have_its_interval():
    examples = [(0, 0)] * 30 + [(1, 0)] * 4 + [(1, 1)] * 9 + [(2, 1)] * 3 + [(2, 2)] * 5
    accuracy = fill(Accuracy(), examples).scores()["accuracy"]
    assert accuracy == wilson(44, 51)
    for cls, names in [(Precision, ["micro"]), (Recall, ["micro", "weighted"]), (F1, ["micro"])]:
        scores = fill(cls(3), examples).scores()
        assert [scores[f"{cls.label}_{name}"] for name in names] == [accuracy] * len(names)
        assert "bootstrap" in scores[f"{cls.label}_macro"].method


def test_perfect_macro_is_as_uncertain_as_its_smallest_classes_make_it():
    balanced = fill(F1(2), [(0, 0)] * 50 + [(1, 1)] * 50).scores()["f1_macro"]
    assert balanced.low == pytest.approx(wilson(100, 100).low)
    skewed = fill(F1(2), [(0, 0)] * 98 + [(1, 1)] * 2).scores()["f1_macro"]
    trials = 4 / (1 / 98 + 1 / 2)  # 7.8: the variance of a mean of two shares, one of them over two examples
    assert skewed.low == pytest.approx(wilson(trials, trials).low)


@given(pairs, st.integers(1, 7))
@quick
def test_pieces_equal_the_whole(examples, size):
    for build in (Accuracy, lambda: F1(CLASSES), F1, lambda: ConfusionMatrix(CLASSES)):
        whole, pieces, single = fill(build(), examples), build(), build()
        for start in range(0, len(examples), size):
            fill(pieces, examples[start : start + size])
        for prediction, reference in examples:
            single.add(prediction=prediction, reference=reference)
        assert len(pieces) == len(single) == len(whole) == len(examples)
        assert repr(pieces.compute()) == repr(single.compute()) == repr(whole.compute())
        assert pieces.scores() == whole.scores()


def test_top_k_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, references = rng.random((200, 8)), rng.integers(0, 8, 200)
    ranked = np.argsort(-scores, 1)
    for k in (1, 3, 5):
        metric = TopKAccuracy(k)
        metric.add_batch(predictions=ranked[:90], references=references[:90])
        metric.add_batch(predictions=torch.from_numpy(ranked[90:].copy()), references=torch.from_numpy(references[90:]))
        known = top_k_accuracy_score(references, scores, k=k)
        assert metric.compute() == {f"top{k}_accuracy": known}
        assert metric.scores() == {f"top{k}_accuracy": wilson(round(known * 200), 200)}
    one = TopKAccuracy(2)
    one.add(prediction=[4, 1, 0], reference=1)
    one.add(prediction=[4, 1, 0], reference=0)
    assert one.compute() == {"top2_accuracy": 0.5}


def test_works_with_evaluates_combine():
    both = evaluate.combine([Accuracy(), F1(2)])
    assert both.compute(predictions=[0, 1, 1], references=[0, 1, 0])["accuracy"] == pytest.approx(2 / 3)
    streamed = evaluate.combine([Accuracy(), F1(2)])
    streamed.add_batch(predictions=[0, 1], references=[0, 1])
    streamed.add(prediction=1, reference=0)
    assert streamed.compute()["f1_micro"] == pytest.approx(2 / 3)
    assert streamed.compute(predictions=[1], references=[0])["f1_micro"] == 0.0


def test_neither_network_nor_disk(monkeypatch, tmp_path):
    def blocked(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")
    metrics = [Accuracy(), Precision(2), Recall(2), F1(2), ConfusionMatrix(2)]
    for metric in metrics:
        assert metric.compute(predictions=[0, 1], references=[0, 0])
    assert TopKAccuracy(2).compute(predictions=[[0, 1], [1, 0]], references=[0, 0])
    assert str(tmp_path) in metrics[0]._data_dir_root and list(tmp_path.iterdir()) == []


def test_the_tools_of_evaluate_see_a_metric():
    metric = Accuracy()
    assert isinstance(metric, evaluate.Metric) and metric.higher_is_better is True
    assert metric.name == "accuracy" and set(metric.features) == {"predictions", "references"}
    assert metric.description and metric.add.__doc__ and metric.add_batch.__doc__ and metric.compute.__doc__


@pytest.mark.parametrize("build", [Accuracy, TopKAccuracy, F1])
def test_nothing_added_says_so(build):
    metric = build()
    for ask in (metric.compute, metric.scores):
        with pytest.raises(MMTransferError, match="Nothing was added"):
            ask()


@pytest.mark.parametrize(
    "predictions, references, message",
    [
        ([0, 1], [0], "2 predictions for 1 references"),
        ([0], None, "1 predictions for none references"),
        ([0.2, 0.8], [0, 1], "predictions are of type float64, not integers"),
        ([[0, 1]], [0], r"predictions have shape \(1, 2\)"),
        ([0, 1], [0, -100], "references have a class number -100"),
        ([0, 3], [0, 1], "Class number 3 among 3 classes"),
    ],
)
def test_wrong_inputs_are_named_and_count_nothing(predictions, references, message):
    metric = F1(3)
    with pytest.raises(MMTransferError, match=message):
        metric.add_batch(predictions=predictions, references=references)
    assert len(metric) == 0


def test_wrong_ranked_lists_and_k():
    with pytest.raises(MMTransferError, match=r"shape \(2,\)"):
        TopKAccuracy(5).add_batch(predictions=[0, 1], references=[0, 1])
    with pytest.raises(MMTransferError, match="k is 0"):
        TopKAccuracy(0)


def test_a_matrix_does_not_grow_without_end():
    with pytest.raises(MMTransferError, match="Class number 10000 among an unknown number of classes"):
        F1().add_batch(predictions=[10_000], references=[0])


def test_an_empty_batch_counts_nothing():
    empty = F1()
    empty.add_batch(predictions=[], references=[])
    assert len(empty) == 0
