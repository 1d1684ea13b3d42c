"""A number: scale, loss, predictions in the units of the data."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from mmtransfer.config import TEXT
from mmtransfer.data import sources
from mmtransfer.data.columns import Columns
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks.targets import Regression


def target_of(values):
    table = sources.load([(f"text {n}", value) for n, value in enumerate(values)], "text", Columns(kind="value"))
    target = Regression(complete({"task": TEXT, "train": "-", "target": "regression"}))
    target.prepare(table)
    return target, table


def test_targets_are_standardised_and_predictions_are_not():
    target, table = target_of([1000, 1200, 1400])
    scaled = torch.stack([target.tensor(value) for value in table.column("value")])
    assert scaled.mean().item() == pytest.approx(0.0, abs=1e-6) and scaled.std(correction=0).item() == pytest.approx(1)
    assert target.predict({"logits": scaled[:, None]}).answers == pytest.approx([1000, 1200, 1400])
    assert target.outputs == 1 and target.strata(table) is None
    restored = Regression(target.config)
    restored.restore(json.loads(json.dumps(target.state())))
    assert restored.predict({"logits": scaled[:, None]}).answers == target.predict({"logits": scaled[:, None]}).answers


def test_loss_is_torchs_own():
    target, _ = target_of([1, 2])
    logits, targets = torch.randn(5, 1, dtype=torch.float64), torch.randn(5)
    known = F.mse_loss(logits[:, 0], targets.double(), reduction="none")
    assert torch.equal(target.loss({"logits": logits}, targets), known)


def test_equal_targets_are_refused():
    with pytest.raises(MMTransferError, match="All training examples have the target 3"):
        target_of([3, 3.0, "3"])


def test_a_prediction_has_a_value_and_no_score():
    target, _ = target_of([1, 2])
    shown = target.present({"id": "x", "prediction": 1234.56789})
    assert (shown.label, shown.value, shown.score, shown.scores) == ("1234.568", 1234.56789, None, {})


def test_scores_are_in_the_units_of_the_data():
    target, _ = target_of([10, 20])
    scores = target.measure({"prediction": [11.0, 22.0, 30.0], "target": [10.0, 20.0, 30.0]})
    assert list(scores) == ["r2", "mse", "rmse", "mae"] and scores["mae"].value == 1.0
    assert scores[target.primary].value == pytest.approx(1 - 5 / 200)
