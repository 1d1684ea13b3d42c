"""The last epochs on all data: what they train on, what is scored until then, and that a stopped run goes on alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_runs import EPOCHS, begin, copies, train

from mmtransfer.engine import anchoring, checkpoint, joining, phases
from mmtransfer.engine.loading import examples_of
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.stopping import Stop
from mmtransfer.errors import MMTransferError


def halved(begun):
    """The run with half of its examples for validation."""
    table, task = begun.splits.train.table, begun.model.task
    parts = [examples_of(task, table.select(range(*ends))) for ends in ((0, 4), (4, 8))]
    return begun._replace(splits=Splits(*parts))


@pytest.mark.parametrize("family", ["bert", "resnet18", "wav2vec2"])
def test_the_last_epochs_train_on_validation_data_and_are_not_scored_on_them(family, tmp_path):
    plain = halved(begin(family, "full", tmp_path / "plain", epochs=3))
    begun = halved(begin(family, "full", tmp_path / "joined", epochs=3, join_validation=1))
    theirs, mine = copies(train(plain)), copies(train(begun))
    assert not all(torch.equal(theirs[name], mine[name]) for name in mine)
    (theirs,), (mine,) = plain.training.state.phases, begun.training.state.phases
    assert [entry["epoch"] for entry in mine["validations"]] == [1, 2]
    assert mine["validations"] == theirs["validations"][:2], "nothing has changed until then"
    assert (theirs["steps"], mine["steps"]) == (3, 2 + 2) and begun.training.state.examples == 4 + 4 + 8
    assert begun.training.state.best is None


def test_an_outcome_has_no_validation_data_that_were_trained_on(tmp_path):
    begun = halved(begin("bert", "full", tmp_path, epochs=3, join_validation=1))
    training, model, splits, plan = begun
    assert phases.train(training, model, splits, plan).splits.validation is None
    training.saver.wait()
    again = halved(begin("bert", "full", tmp_path, epochs=3, join_validation=1))
    point = checkpoint.newest(tmp_path / "checkpoints")
    moments = checkpoint.restore(point, again.training.state, again.model, again.model.trained(plan))
    outcome = phases.train(again.training, again.model, again.splits, again.plan, moments)
    assert outcome.splits.validation is None, "nor has one that was trained before"
    short = halved(begin("bert", "full", tmp_path / "short", epochs=3, join_validation=1))
    ended = replace(short.training, stop=Stop(last=2))
    assert phases.train(ended, short.model, short.splits, short.plan).splits.validation is not None


@pytest.mark.parametrize("strategy", ["full", "partial", "lora"])
@pytest.mark.parametrize("place", [2, 3])
def test_a_stopped_run_goes_on_to_the_same_bits(strategy, place, tmp_path, monkeypatch):
    given = {"epochs": 3, "join_validation": 1}
    whole = copies(train(halved(begin("bert", strategy, tmp_path / "whole", **given))))
    signals: list[int] = []
    begun = halved(begin("bert", strategy, tmp_path / "stopped", **given))
    advance = TrainState.advance

    def stopping(state, *counts):
        advance(state, *counts)
        if state.steps_done == place:
            signals.append(15)

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "advance", stopping)
        stopped = replace(begun.training, stop=Stop(signals))
        assert phases.train(stopped, begun.model, begun.splits, begun.plan).status == "stopped"
        stopped.saver.wait()
    training, model, splits, plan = halved(begin("bert", strategy, tmp_path / "stopped", **given))
    moments = checkpoint.restore(
        checkpoint.newest(training.folder / "checkpoints"), training.state, model, model.trained(plan)
    )
    assert training.state.steps_done == place
    after = copies(phases.train(training, model, splits, plan, moments, anchoring.start_of(model, plan)).model)
    assert [name for name in whole if not torch.equal(whole[name], after[name])] == []


def test_classes_are_weighted_as_in_all_data(tmp_path):
    begun = begin("bert", "full", tmp_path, class_weights="auto")
    table, task = begun.splits.train.table, begun.model.task
    few = examples_of(task, table.select([0, 1, 3, 5]))  # one x, three y
    splits = Splits(replace(few, weights=task.target.weights(few.table)), examples_of(task, table.select([2, 4, 6, 7])))
    both = joining.joined(splits, task)
    assert len(set(splits.train.weights)) == 2 and len(set(both.train.weights)) == 1, "four of each, in all"
    assert both.train.ids == ["0", "1", "3", "5", "2", "4", "6", "7"] and both.validation is None
    assert both.train.answers == ["x", "y", "y", "y", "x", "x", "x", "y"]
    assert joining.joined(both, task) is both


@pytest.mark.parametrize(
    ("strategy", "given", "what"),
    [
        ("full", {"join_validation": EPOCHS}, "leave none to be scored"),
        ("full", {"join_validation": 1, "ema": 0.9}, "ema= chooses by validation data"),
        ("wise-ft", {"join_validation": 1}, "wise-ft.* chooses by validation data"),
    ],
)
def test_what_needs_validation_data_to_the_end_is_refused(strategy, given, what, tmp_path):
    with pytest.raises(MMTransferError, match=what):
        begin("bert", strategy, tmp_path, **given)
