"""Folds: pure in (seed, ids), groups whole, classes even, and what a fold does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtransfer.errors import MMTransferError
from mmtransfer.probe import Rows, deal, solve
from mmtransfer.probe.losses import scored


def examples(counts, width=8, spread=1.5):
    """Rows of so many examples a class, and their ids."""
    random = torch.Generator().manual_seed(0)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    x = torch.randn(len(counts), width, generator=random)[y] * 2 + spread * torch.randn(len(y), width, generator=random)
    return Rows([x], [y], "classes", len(counts)), [f"{number}.png" for number in range(len(y))]


def moved(rows, order):
    return Rows([rows.features[0][order]], [rows.targets[0][order]], rows.kind, rows.outputs)


def test_classes_are_dealt_out_evenly_and_the_order_of_rows_does_not_matter():
    rows, ids = examples([40, 30, 20, 3])
    dealt = deal(rows, ids, 5, seed=0)
    table = np.zeros((4, 5), int)
    np.add.at(table, (rows.targets[0].numpy(), dealt.numpy()), 1)
    assert (table.max(1) - table.min(1) <= 1).all() and np.ptp(table.sum(0)) <= 1
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    again = deal(moved(rows, order), [ids[place] for place in order], 5, seed=0)
    assert torch.equal(again, dealt[order])
    assert not torch.equal(deal(rows, ids, 5, seed=1), dealt)
    assert deal(*examples([2, 1]), 5, seed=0).tolist().sort() == [0, 1, 2].sort()


def test_labels_are_dealt_out_by_the_rarest_of_an_example():
    y = torch.zeros(60, 3)
    y[:, 0] = 1.0
    y[:10, 1] = 1.0
    y[50:, 0] = 0.0
    dealt = deal(Rows([torch.randn(60, 4)], [y], "labels", 3), [str(n) for n in range(60)], 5, seed=0)
    for part in (dealt[:10], dealt[10:50], dealt[50:]):  # the second label, the first alone, none
        counts = torch.bincount(part, minlength=5)
        assert int(counts.max() - counts.min()) <= 1


def test_groups_are_whole_and_classes_still_even():
    rows, ids = examples([60, 60])
    groups = [f"speaker {number % 12}" for number in range(120)]
    dealt = deal(rows, ids, 4, seed=0, groups=groups)
    for name in set(groups):
        assert len({int(fold) for fold, own in zip(dealt, groups, strict=True) if own == name}) == 1
    for fold in range(4):
        counts = torch.bincount(rows.targets[0][dealt == fold], minlength=2)
        assert counts.tolist() == [15, 15]
    assert set(deal(rows, ids, 20, seed=0, groups=groups).tolist()) == set(range(12))
    with pytest.raises(MMTransferError, match="1 group.s. make no folds(.|\n)*group_column"):
        deal(rows, ids, 4, seed=0, groups=["one"] * 120)
    with pytest.raises(MMTransferError, match="1 example.s. make no folds"):
        deal(moved(rows, torch.tensor([0])), ids[:1], 4, seed=0)


def test_each_example_is_held_out_once_and_all_are_in_the_final_head():
    rows, ids = examples([30, 30, 30])
    dealt = deal(rows, ids, 4, seed=0)
    found = solve(rows, folds=dealt)
    accuracy = float((found.held_out.argmax(1) == rows.targets[0]).float().mean())
    assert accuracy == pytest.approx(found.point.accuracy) and accuracy < scored(rows, found.final)[1]
    changed = rows.features[0].clone()
    changed[0] += 3.0  # an example's own outputs depend on its features, but no model that scores it does
    other = solve(Rows([changed], rows.targets, "classes", 3), folds=dealt, limits=(1e-2, 1e-2))
    same = solve(rows, folds=dealt, limits=(1e-2, 1e-2))
    fold = dealt == dealt[0]
    fold[0] = False
    if other.penalty == same.penalty:
        assert torch.allclose(other.held_out[fold], same.held_out[fold], atol=2e-2)
    assert not torch.allclose(other.final.weight, same.final.weight, atol=1e-3)


def test_a_class_that_only_one_fold_has_does_not_choose_and_costs_what_half_an_example_would():
    rows, ids = examples([40, 40, 1])
    dealt = deal(rows, ids, 5, seed=0)
    found = solve(rows, folds=dealt)
    known = found.held_out[:80]
    assert float(found.held_out[80].log_softmax(0)[2].exp()) == pytest.approx(0.5 / 64, rel=0.05)
    assert found.point.accuracy == pytest.approx(float((known.argmax(1) == rows.targets[0][:80]).float().mean()))
    assert found.final(rows.features[0][80:]).argmax() == 2


def test_one_example_of_each_class_still_makes_a_head():
    rows, ids = examples([1, 1, 1, 1])
    found = solve(rows, folds=deal(rows, ids, 5, seed=0))
    assert scored(rows, found.final)[1] == 1.0 and found.held_out.isfinite().all()


def test_values_of_whole_groups_are_scored_by_models_of_the_other_groups():
    random = torch.Generator().manual_seed(0)
    groups = torch.arange(60) % 6
    x = torch.randn(6, 20, generator=random)[groups] + 0.01 * torch.randn(60, 20, generator=random)
    y = torch.randn(6, generator=random)[groups]  # of a group, and of nothing that another group tells
    rows = Rows([x], [y], "values", 1)
    dealt = deal(rows, [str(n) for n in range(60)], 3, 0, [str(int(group)) for group in groups])
    alone, whole = solve(rows), solve(rows, folds=dealt)
    assert alone.point.loss < 0.1 < whole.point.loss
    error = float((y - whole.held_out[:, 0]).square().mean())
    assert error == pytest.approx(whole.point.loss, rel=1e-3)
