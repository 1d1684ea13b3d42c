"""Labels, loss and predictions of image and text classification."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtransfer import backbones
from mmtransfer.config import IMAGE, make
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks import ImageClassification, collate


def picture(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


@pytest.fixture(scope="module")
def task():
    settings = {"task": IMAGE, "train": "-", "image_size": 16, "batch_size": 4, "label_smoothing": 0.2}
    made = ImageClassification(make(settings, "a test"), backbones.load("squeezenet1_1", "none"))
    made.prepare(sources.load([(picture(n), label) for n, label in enumerate(["b", "a", "c"])], "image"))
    return made


def test_labels_are_sorted_and_numbered(task):
    assert task.labels == ["a", "b", "c"]
    assert task.target({"label": "b"}).item() == 1


def test_an_unseen_label_names_the_row_and_the_nearest(task):
    table = sources.load([(picture(1), "a"), (picture(2), "bb")], "image")
    with pytest.raises(MMTransferError, match="unseen in training: 'bb'") as caught:
        task.check(table, "test")
    assert "row 1" in caught.value.where and "b" in caught.value.do


def test_one_class_only_is_refused(task):
    with pytest.raises(MMTransferError, match="All training examples have the label 'a'"):
        ImageClassification(task.config, backbones.load("squeezenet1_1", "none")).prepare(
            sources.load([(picture(1), "a"), (picture(2), "a")], "image")
        )


def test_smoothing_is_for_training_only(task):
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    plain = F.cross_entropy(logits, targets, reduction="none")
    assert torch.allclose(task.loss({"logits": logits}, targets), plain)
    training = task.loss({"logits": logits.requires_grad_()}, targets)
    smooth = 0.8 * plain + 0.2 * -logits.log_softmax(-1).mean(-1)
    assert torch.allclose(training, smooth, atol=1e-6)


def test_scores_are_probabilities_of_the_labels(task):
    predictions = task.predict({"logits": torch.tensor([[1.0, 3.0, 2.0]])})
    record = {"id": "x", "prediction": predictions.answers[0], "logits": predictions.columns["logits"][0]}
    shown = task.present(record)
    assert shown.label == "b" and sum(shown.scores.values()) == pytest.approx(1.0)
    assert shown.score == pytest.approx(float(torch.tensor([1.0, 3.0, 2.0]).softmax(0)[1]))


def test_collate_stacks_pixels_and_targets(task):
    table = sources.load([(picture(1), "a"), (picture(2), "b")], "image")
    batch = collate([task.encode(row, None) for row in table.rows])
    assert batch.state["x"].shape == (2, 3, 16, 16) and batch.targets.tolist() == [0, 1]
