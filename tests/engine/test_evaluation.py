"""One pass over a split, and what is said of it after an epoch."""

from __future__ import annotations

import pytest
import tiny
import tiny_runs

from mmtransfer.cli.flags import parse
from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.processes import accelerator
from mmtransfer.metrics import classification
from mmtransfer.preparation import prepare
from mmtransfer.resolution import resolve


@pytest.mark.parametrize("task", [IMAGE, TEXT, SPEECH, AUDIO, TAGS])
def test_values_after_an_epoch_are_those_of_the_scores_with_intervals(task, tmp_path):
    settings = parse(task, tiny.MAKERS[task](tmp_path), {}, "a test") | tiny.QUICK | {"strategy": "full"}
    config = resolve(**settings)
    machine = Machine.as_it_is(config, accelerator())
    prepared = prepare(config, machine)
    records = evaluate(prepared.model, prepared.splits.validation, machine)
    target = prepared.model.task.target
    scores = {name: score.value for name, score in target.measure(records).items() if "[" not in name}
    values = target.values(records)
    assert values == pytest.approx(scores) and target.primary in values


def test_intervals_are_not_computed_while_training(tmp_path, monkeypatch):
    begun, drawn, bootstrap = tiny_runs.begin("bert", "full", tmp_path), [], classification.cells_bootstrap
    monkeypatch.setattr(classification, "cells_bootstrap", lambda *given: drawn.append(given) or bootstrap(*given))
    model = tiny_runs.train(begun)
    (phase,) = begun.training.state.phases
    assert len(phase["validations"]) == 2 and not drawn
    model.task.target.measure(evaluate(model, begun.splits.validation, begun.training.machine))
    assert drawn
