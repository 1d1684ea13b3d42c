"""`compute` of every metric forgets as that of evaluate's own metrics does, and `scores` may still follow it."""

from __future__ import annotations

import datasets
import evaluate
import pytest

from mmtransfer import metrics
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import StreamingMetric

CLASSES = ([0, 1, 1, 0], [0, 1, 0, 1])
RANKED = ([[0, 1], [1, 0], [1, 2], [0, 2]], [0, 1, 0, 1])
SETS = ([[1, 0], [1, 1], [0, 1], [0, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]])
NUMBERS = ([1.0, 2.5, -1.0, 0.5], [1.5, 2.0, 1.0, -2.0])
TEXTS = (["a b", "c", "a", "b c d"], ["a b", "c d", "b", "c c"])
TAGS = ([["B-a"], ["O", "B-b"], ["O"], ["B-b"]], [["B-a"], ["B-a", "I-a"], ["B-a"], ["B-b"]])
EVERY = [
    (metrics.Accuracy(), CLASSES),
    (metrics.ConfusionMatrix(2), CLASSES),
    (metrics.ConfusionMatrix(), CLASSES),
    (metrics.Precision(2), CLASSES),
    (metrics.Recall(2), CLASSES),
    (metrics.F1(2), CLASSES),
    (metrics.TopKAccuracy(2), RANKED),
    (metrics.RetrievalRecall((1, 2)), RANKED),
    (metrics.MultiLabelF1(2), SETS),
    (metrics.SubsetAccuracy(2), SETS),
    (metrics.MSE(), NUMBERS),
    (metrics.RMSE(), NUMBERS),
    (metrics.MAE(), NUMBERS),
    (metrics.R2(), NUMBERS),
    (metrics.WER(), TEXTS),
    (metrics.CER(), TEXTS),
    (metrics.EntityF1(), TAGS),
    (metrics.TagAccuracy(), TAGS),
    (metrics.TagF1(), TAGS),
]
every = pytest.mark.parametrize("metric, data", EVERY, ids=[type(metric).__name__ for metric, _ in EVERY])


def alone(metric: StreamingMetric, data: tuple[list, list], part: slice) -> str:
    """What a metric that has forgotten everything says of a part of the data."""
    metric.reset()
    return repr(metric.compute(predictions=data[0][part], references=data[1][part]))


@every
def test_two_calls_of_compute_do_not_pool(metric, data):
    first, second = slice(0, 2), slice(2, 4)
    expected = [alone(metric, data, part) for part in (first, second)]
    metric.reset()
    found = [
        repr(metric.compute(predictions=data[0][part], references=data[1][part])) for part in (first, second, first)
    ]
    assert found == [*expected, expected[0]]


@every
def test_batches_after_compute_begin_anew(metric, data):
    expected = [alone(metric, data, part) for part in (slice(0, 3), slice(3, 4), slice(0, 4))]
    metric.reset()
    metric.add_batch(predictions=data[0][:1], references=data[1][:1])
    metric.add_batch(predictions=data[0][1:3], references=data[1][1:3])
    assert repr(metric.compute()) == expected[0]
    metric.add(prediction=data[0][3], reference=data[1][3])
    assert len(metric) == 1
    assert repr(metric.compute()) == expected[1]
    metric.add_batch(predictions=data[0][:2], references=data[1][:2])
    assert repr(metric.compute(predictions=data[0][2:], references=data[1][2:])) == expected[2]


@every
def test_scores_may_follow_compute_and_a_second_compute_has_nothing(metric, data):
    metric.reset()
    metric.add_batch(predictions=data[0], references=data[1])
    before = metric.scores()
    metric.compute()
    assert metric.scores() == before
    with pytest.raises(MMTransferError, match="Nothing was added"):
        metric.compute()


def test_evaluates_own_metrics_forget_as_well():
    class Own(evaluate.Metric):
        """A metric as evaluate has them."""

        def _info(self):
            features = datasets.Features({name: datasets.Value("int64") for name in ("predictions", "references")})
            return evaluate.MetricInfo(description="", citation="", features=features)

        def _compute(self, predictions, references):
            return {"accuracy": sum(a == b for a, b in zip(predictions, references, strict=True)) / len(references)}

    own, ours = Own(keep_in_memory=True), metrics.Accuracy()
    for predictions, references in (([1, 1], [1, 1]), ([0], [1]), ([1, 0], [1, 1])):
        expected = own.compute(predictions=predictions, references=references)
        assert ours.compute(predictions=predictions, references=references) == expected
