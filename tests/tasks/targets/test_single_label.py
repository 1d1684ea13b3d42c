"""One label: numbering, refusals, loss, class weights, predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtransfer.config import TEXT
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks.targets import SingleLabel
from mmtransfer.tasks.targets.single_label import STORED_LOGITS


def target_of(labels, **settings):
    table = sources.load([(f"text {n}", label) for n, label in enumerate(labels)], "text")
    target = SingleLabel(complete({"task": TEXT, "train": "-", **settings}))
    target.prepare(table)
    return target, table


def test_labels_are_sorted_and_numbered():
    target, table = target_of("bac")
    assert target.labels.names == ["a", "b", "c"] and target.outputs == 3
    assert target.tensor("b").item() == 1 and target.strata(table) == ["b", "a", "c"]


def test_an_unseen_label_names_the_row_and_the_nearest():
    target, _ = target_of("bac")
    table = sources.load([("x", "a"), ("y", "bb")], "text")
    with pytest.raises(MMTransferError, match="unseen in training: 'bb'") as caught:
        target.check(table, "test", None)
    assert "first in row 1" in caught.value.where and "closest to 'bb': b" in caught.value.do


def test_unseen_labels_can_be_left_out_unless_nothing_is_left():
    target, _ = target_of("bac", skip_bad=True)
    left = target.check(sources.load([("x", "a"), ("y", "bb")], "text"), "test", None)
    assert left.ids == ["0"] and left.skipped == ({"id": "1", "reason": "label 'bb' unseen in training"},)
    with pytest.raises(MMTransferError, match="unseen in training: 'z'") as caught:
        target.check(sources.load([("x", "z")], "text"), "test", None)
    assert "--skip-bad" not in caught.value.do


def test_one_class_only_is_refused():
    with pytest.raises(MMTransferError, match="All training examples have the label 'a'"):
        target_of("aa")


def test_loss_is_torchs_own_and_smoothing_is_for_training_only():
    target, _ = target_of("abc", label_smoothing=0.2)
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    assert torch.equal(target.loss({"logits": logits}, targets), F.cross_entropy(logits, targets, reduction="none"))
    smooth = F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.2)
    assert torch.equal(target.loss({"logits": logits.requires_grad_()}, targets), smooth)


def test_class_weights_are_inverse_frequencies_and_give_torchs_weighted_mean():
    target, table = target_of("abacaa", class_weights="auto")
    weights = target.weights(table)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.tolist() == pytest.approx([6 / (3 * count) for count in (4, 1, 4, 1, 4, 4)])
    logits, targets = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 2, 0, 0])
    losses, each = target.loss({"logits": logits}, targets), torch.from_numpy(weights)
    by_class = torch.tensor([0.5, 2.0, 2.0], dtype=torch.float64)
    known = F.cross_entropy(logits, targets, weight=by_class)
    assert ((losses * each).sum() / each.sum()).item() == pytest.approx(known.item(), abs=1e-12)
    assert target_of("ab")[0].weights(table) is None


def test_scores_are_probabilities_of_the_labels():
    target, _ = target_of("bac")
    predictions = target.predict({"logits": torch.tensor([[1.0, 3.0, 2.0]])})
    record = {"id": "x", "prediction": predictions.answers[0], "logits": predictions.columns["logits"][0]}
    shown = target.present(record)
    assert (shown.label, shown.labels, shown.value) == ("b", ("b",), None)
    assert sum(shown.scores.values()) == pytest.approx(1.0)
    assert shown.score == pytest.approx(float(torch.tensor([1.0, 3.0, 2.0]).softmax(0)[1]))


def test_measures_stand_by_class_up_to_twenty():
    target, _ = target_of([f"c{n:02d}" for n in range(6)])
    logits = torch.from_numpy(np.eye(6, dtype=np.float32))
    predictions = target.predict({"logits": logits})
    records = {"prediction": predictions.answers, "target": [f"c{n:02d}" for n in range(6)], **predictions.columns}
    scores = target.measure(records)
    assert scores["accuracy"].value == scores["top5_accuracy"].value == scores["f1[c03]"].value == 1.0


@pytest.mark.parametrize("classes", [4, STORED_LOGITS + 1])
def test_pieces_are_joined_by_the_mean_of_their_probabilities(classes):
    target, _ = target_of([f"c{n:04d}" for n in range(classes)])
    logits = torch.full((3, classes), -20.0)
    logits[0, :3] = torch.tensor([2.0, 1.9, 0.0])  # the first piece alone would say c0000
    logits[1, :3] = torch.tensor([0.0, 3.0, 1.0])
    logits[2, :3] = torch.tensor([0.0, 3.0, 2.0])
    predictions = target.predict({"logits": logits + torch.tensor([[5.0], [0.0], [-5.0]])})
    columns = [
        dict(zip(predictions.columns, row, strict=True)) for row in zip(*predictions.columns.values(), strict=True)
    ]
    pieces = [{"id": "x", "prediction": a, **row} for a, row in zip(predictions.answers, columns, strict=True)]
    joined = target.join(pieces)
    known = logits.double().softmax(-1).mean(0)
    shown = target.present({"id": "x", **joined})
    assert shown.label == joined["top5"][0] == "c0001" and joined["top5"][:3] == ["c0001", "c0000", "c0002"]
    assert shown.score == pytest.approx(float(known[1]), abs=1e-6)
    assert [shown.scores[f"c{n:04d}"] for n in range(3)] == pytest.approx(known[:3].tolist(), abs=1e-6)
    assert joined.keys() == pieces[0].keys() - {"id"}
    assert target.join(pieces[:1]) is pieces[0]


def test_focal_loss_is_cross_entropy_weighed_by_what_is_unsure():
    logits = torch.randn(5, 3, requires_grad=True)
    numbers = torch.tensor([0, 1, 2, 1, 0])
    (plain, _), (focal, _) = (target_of("abc", focal_gamma=gamma) for gamma in (0.0, 2.0))
    each = plain.loss({"logits": logits}, numbers)
    right = logits.softmax(-1)[torch.arange(5), numbers]
    assert torch.allclose(focal.loss({"logits": logits}, numbers), (1 - right) ** 2 * each, atol=1e-6)
    assert torch.allclose(focal.loss({"logits": logits}, focal.soft(numbers)), (1 - right) ** 2 * each, atol=1e-6)
    assert torch.equal(focal.loss({"logits": logits.detach()}, numbers), each.detach())


def test_focal_loss_reads_label_smoothing():
    (both, _), logits = target_of("abc", focal_gamma=1e-6, label_smoothing=0.2), torch.randn(4, 3, requires_grad=True)
    smooth = F.cross_entropy(logits, torch.tensor([0, 1, 2, 1]), reduction="none", label_smoothing=0.2)
    assert torch.allclose(both.loss({"logits": logits}, torch.tensor([0, 1, 2, 1])), smooth, atol=1e-4)


def test_balanced_sampling_makes_every_class_as_likely():
    target, table = target_of("aaab", sampling="balanced")
    assert target.shares(table).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert target_of("aaab")[0].shares(table) is None
