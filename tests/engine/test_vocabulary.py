"""WordRows of a table of embeddings train in its place: the same weights, and what is not read stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import Begun, begin, copies, train

from mmtransfer.engine import checkpoint
from mmtransfer.engine.vocabulary import WordRows

FAMILIES = ("bert", "distilbert", "electra", "mpnet", "gpt2", "modernbert")


@pytest.fixture
def whole(monkeypatch):
    """Calls a function as it is without rows."""

    def call(function):
        with monkeypatch.context() as patch:
            patch.setattr("mmtransfer.engine.vocabulary.MOST", 0.0)
            return function()

    return call


def rows_of(begun: Begun) -> WordRows | None:
    """As the last phase of a run has them."""
    phase, backbone = begun.plan[-1], begun.model.backbone
    backbone.freeze(set(range(len(backbone.stages))) - set(phase.trains.stages), phase.trains.part)
    return WordRows.of(begun.model.starting(phase.trains), phase, begun.splits.train, begun.training.machine)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_those_of_training_the_whole_table(family: str, tmp_path: Path, whole) -> None:
    begun = begin(family, "full", tmp_path / "rows")
    table = begun.model.backbone.vocabulary
    rows = rows_of(begun)
    assert table is not None and rows is not None and len(rows.read) < table.num_embeddings / 2
    start, own = copies(begun.model), copies(train(begun))
    other = whole(lambda: copies(train(begin(family, "full", tmp_path / "whole"))))
    assert all(torch.allclose(own[name], other[name], atol=1e-6) for name in own)
    (name,) = (name for name, value in begun.model.state_dict(keep_vars=True).items() if value is table.weight)
    moved = (own[name] != start[name]).any(1)
    assert moved.any() and not moved[[row for row in range(len(moved)) if row not in rows.read.tolist()]].any()
    assert "forward" not in vars(table)


def test_moments_are_of_the_rows_alone(tmp_path: Path) -> None:
    begun = begin("bert", "full", tmp_path)
    width = begun.model.backbone.width
    train(begun)
    begun.training.saver.wait()
    point = checkpoint.newest(tmp_path / "checkpoints")
    assert point is not None
    moments = checkpoint.read_point(point)[0][checkpoint.MOMENTS]
    shapes = [tuple(value.shape) for name, value in moments.items() if name.endswith("exp_avg")]
    rows = rows_of(begun)
    assert rows is not None and (60, width) not in shapes and (len(rows.read), width) in shapes


def test_other_words_are_read_from_the_table(tmp_path: Path) -> None:
    begun = begin("bert", "full", tmp_path)
    model, rows = begun.model, rows_of(begun)
    assert rows is not None
    unread = torch.tensor([[row for row in range(60) if row not in rows.read.tolist()][:3]])
    before = rows.table(unread)
    with rows.instead():
        model.eval()
        assert torch.equal(rows.table(unread), before)
        model.train()
        with torch.no_grad():
            assert torch.equal(rows.table(unread), before)
        assert not torch.equal(rows.table(unread), before)
    assert torch.equal(rows.table(unread), before)


@pytest.mark.parametrize(("strategy", "options"), [("l2-sp", {}), ("partial", {"n": 1}), ("bitfit", {})])
def test_there_are_none_where_the_table_does_not_train_alone(strategy: str, options: dict, tmp_path: Path) -> None:
    begun = begin("bert", strategy, tmp_path, options)
    assert rows_of(begun) is None
