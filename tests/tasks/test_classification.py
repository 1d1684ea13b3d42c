"""What image and text classification share: a head of the target's size, targets of rows, the wiring of a target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtransfer import backbones
from mmtransfer.config import IMAGE
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import LinearHead, MLPHead
from mmtransfer.resolution import complete
from mmtransfer.tasks import TASKS, Task, collate


def picture(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


def task_of(**choices) -> Task:
    settings = {"task": IMAGE, "train": "-", "image_size": 24, "batch_size": 4, **choices}
    return TASKS[IMAGE].make(complete(settings), backbones.load("squeezenet1_1", "none"))


@pytest.mark.parametrize(
    ("target", "answers", "size", "primary"),
    [
        ("single-label", ["b", "a", "c"], 3, "accuracy"),
        ("multi-label", ["b|a", "", "c"], 3, "f1_micro"),
        ("regression", [1, 2, 4.5], 1, "r2"),
    ],
)
def test_a_target_gives_columns_head_and_primary_metric(target, answers, size, primary, tmp_path):
    task = task_of(target=target)
    table = sources.load([(picture(n), answer) for n, answer in enumerate(answers)], "image", task.columns())
    task.prepare(table)
    assert task.target.primary == primary and task.target.kind in table.rows.column_names
    assert task.target.head(8).linear.weight.shape == (size, 8)
    batch = collate([task.encode(row, None) for row in task.input.rows(table)[0]])
    with torch.inference_mode():
        outputs = task.readout(task.target.head(8), {"x": torch.randn(3, 8)})
        assert task.target.loss(outputs, batch.targets).shape == (3,)
    other = task_of(target=target)
    other.restore(task.state(), tmp_path)
    assert other.target.predict(outputs).answers == task.target.predict(outputs).answers


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(MMTransferError, match="Unknown target='multilabel'") as caught:
        task_of(target="multilabel")
    assert "did you mean multi-label" in caught.value.do


def test_the_head_is_the_users_choice():
    table = sources.load([(picture(1), "a"), (picture(2), "b")], "image")
    for name, cls in (("linear", LinearHead), ("mlp", MLPHead)):
        task = task_of(head=name)
        task.prepare(table)
        assert isinstance(task.target.head(8), cls) and task.target.head(8)(torch.randn(3, 8)).shape == (3, 2)


def test_collate_stacks_pixels_and_targets():
    task = task_of()
    table = sources.load([(picture(1), "a"), (picture(2), "b")], "image")
    task.prepare(table)
    batch = collate([task.encode(row, None) for row in table.rows])
    assert batch.state["x"].shape == (2, 3, 24, 24) and batch.targets.tolist() == [0, 1]
