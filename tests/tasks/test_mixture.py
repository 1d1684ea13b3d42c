"""Mixup and CutMix: pictures and answers by the same share, and the same whoever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_runs import begin

from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine.loading import Asked, EncodedRows
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve
from mmtransfer.tasks.base import Encoded
from mmtransfer.tasks.mixture import Mixture


def flat(value: float, target: list[float]) -> Encoded:
    return Encoded(torch.full((3, 16, 16), value), target=torch.tensor(target))


def test_mixup_adds_pictures_and_answers_by_one_share() -> None:
    shares, partners = [], set()
    for seed in range(40):

        def partner(number: int) -> Encoded:
            partners.add(number)
            return flat(255.0, [0.0, 1.0])

        mixed = Mixture(0.4, 0.0)(flat(0.0, [1.0, 0.0]), partner, 5, seed)
        share = float(mixed.target[1])
        assert torch.equal(mixed.x, torch.full_like(mixed.x, round(255 * share)))  # pixels are whole levels
        assert float(mixed.target.sum()) == pytest.approx(1.0)
        shares.append(share)
    assert partners == set(range(5)) and 0.2 < np.mean(shares) < 0.8 and np.std(shares) > 0.2


def test_cutmix_counts_the_pixels() -> None:
    for seed in range(40):
        mixed = Mixture(0.0, 1.0)(flat(0.0, [1.0, 0.0]), lambda number: flat(1.0, [0.0, 1.0]), 5, seed)
        assert set(mixed.x.unique().tolist()) <= {0.0, 1.0}
        assert float(mixed.target[1]) == pytest.approx(float(mixed.x.mean()), abs=1e-6)


def test_of_both_each_takes_its_part() -> None:
    kinds = [
        len(Mixture(1.0, 1.0)(flat(0.0, [1.0]), lambda number: flat(1.0, [0.0]), 5, seed).x.unique()) > 1
        for seed in range(60)
    ]
    assert 15 < sum(kinds) < 45


def test_a_mixed_picture_does_not_depend_on_its_batch(tmp_path) -> None:
    begun = begin("resnet18", "full", tmp_path, mixup=0.4, cutmix=1.0)
    task, rows = begun.model.task, begun.splits.train.rows
    encoded = EncodedRows(rows, task)
    together, alone = encoded[Asked([0, 3, 5], 0, 1)], encoded[Asked([3], 0, 1)]
    assert torch.equal(together.state["x"][1], alone.state["x"][0]) and torch.equal(
        together.targets[1], alone.targets[0]
    )
    assert not torch.equal(encoded[Asked([3], 0, 2)].state["x"], alone.state["x"])
    plain = encoded[Asked([3], None, 1)]
    assert plain.targets.dim() == 1 and task.input.augments


def test_a_run_trains_on_mixtures(tmp_path) -> None:
    from tiny_runs import copies, train

    begun = begin("resnet18", "full", tmp_path, mixup=0.4, label_smoothing=0.1, focal_gamma=1.0)
    assert copies(train(begun))["head.linear.weight"].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "multi-label", "sampling": "balanced"}, "does not read sampling="),
        ({"target": "regression", "focal_gamma": 2.0}, "does not read focal_gamma="),
        ({"task": TEXT, "mixup": 0.2}, "mixup"),
        ({"mixup": -0.2}, "must be 0 or more"),
        ({"strategy": "linear-probe", "strategy_options": {"solver": "exact"}, "cutmix": 1.0}, "does not read cutmix="),
    ],
)
def test_what_nothing_would_read_is_refused(settings, words) -> None:
    with pytest.raises(MMTransferError, match=words):
        resolve(**{"task": IMAGE, "train": "x", **settings})
