"""A trial that pauses is the same run as one that does not, and as one whose settings say where it ends."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import tiny
from safetensors.torch import load_file
from torch import equal

import mmtransfer as mmt
from mmtransfer.engine import checkpoint, processes
from mmtransfer.resolution import resolve
from mmtransfer.search import trial as trials
from mmtransfer.search.trial import Bench, Trial

STEPS = 8
"""48 examples in steps of 12, in 2 epochs."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    settings = tiny.text_settings(tmp_path_factory.mktemp("trial"))
    return resolve(**settings | {"epochs": 2, "batch_size": 12, "lr": 1e-3, "strategy": "full", "cache": "off"})


def advanced(config, folder, *rungs):
    """A trial that has been trained up to these steps, one after the other."""
    bench = Bench(processes.accelerator(), ())
    bench.set_up(config)
    trial = Trial(0, config.backbone, "full", config, folder, planned=STEPS)
    for until in rungs:
        bench.advance(trial, until, time.time() + 600)
    return trial


def weights(folder):
    point = checkpoint.newest(folder / "checkpoints")
    tensors, _ = checkpoint.read_point(point)
    return tensors["weights.safetensors"]


@pytest.mark.parametrize("pause", [3, 4])
def test_rungs_are_parts_of_one_run(config, tmp_path, pause):
    whole, parts = advanced(config, tmp_path / "whole", STEPS), advanced(config, tmp_path / "parts", pause, STEPS)
    assert [rung["steps"] for rung in parts.rungs] == [pause, STEPS] and parts.state == whole.state == "finished"
    assert parts.score == whole.score and parts.loss == whole.loss and parts.score.n == 12
    mine, theirs = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert all(equal(mine[name], theirs[name]) for name in theirs)


def test_what_goes_on_is_told_apart_from_what_would_be_kept(config, tmp_path, monkeypatch):
    evaluate, wrong = trials.evaluate, iter([True])

    def at_first_wrong(*given):
        records = evaluate(*given)
        swapped = [{"x": "y", "y": "x"}[label] for label in records["target"]]
        return {**records, "prediction": swapped} if next(wrong, False) else records

    monkeypatch.setattr(trials, "evaluate", at_first_wrong)
    warm = replace(config, strategy="lp-ft", strategy_options={"solver": "exact"})
    trial = advanced(warm, tmp_path / "trial", 3)
    assert trial.best == 0 and trial.reached == 0.0 < trial.value, "the head of the start is what would be kept"
    assert trial.rungs[-1]["value"] == trial.value and trial.rungs[-1]["reached"] == 0.0
    fine = advanced(config, tmp_path / "fine", 3)
    assert fine.best == 3 and fine.reached == fine.value


@pytest.mark.parametrize("steps", [3, 4, 6])
def test_settings_say_where_a_run_ends(config, tmp_path, steps):
    trial = advanced(config, tmp_path / "trial", steps)
    run = mmt.fit(replace(config, stop_after=steps, out=str(tmp_path / "run")))
    assert run.result["phases"][-1]["steps"] == steps
    assert run.metrics["validation"]["accuracy"] == trial.score.as_dict()
    if trial.best == steps:
        head, mine = load_file(tmp_path / "run" / "model" / "head.safetensors"), weights(tmp_path / "trial")
        assert all(equal(value, mine[f"head.{name}"]) for name, value in head.items())


def test_the_test_data_are_not_looked_at(config, tmp_path, monkeypatch):
    looked = []
    evaluate = trials.evaluate
    monkeypatch.setattr(trials, "evaluate", lambda *given: looked.append(given[3]) or evaluate(*given))
    advanced(config, tmp_path / "trial", 2)
    assert looked == ["validating"] * len(looked) and looked
    assert not (tmp_path / "trial" / "predictions" / "test.parquet").exists()


def test_without_validation_data_the_last_step_is_kept(config, tmp_path):
    own = replace(config, validation=None, validation_fraction=0.0)
    run = mmt.fit(replace(own, out=str(tmp_path / "run")))
    assert run.metrics.keys() == {"test"} and run.result["phases"][0]["best"] is None
    trial = advanced(own, tmp_path / "trial", 3)
    assert trial.score is None and trial.steps == 3


def test_heads_on_other_vectors_are_other_heads(config):
    bench = Bench(processes.accelerator(), ())
    assert bench.heads_of(config) is bench.heads_of(replace(config, lr=0.5))
    assert bench.heads_of(config) is not bench.heads_of(replace(config, pooling="unit"))


@pytest.mark.parametrize(("joined", "last"), [(None, STEPS), (1, STEPS // 2)])
def test_a_search_is_done_with_a_trial_before_the_epochs_on_all_data(config, tmp_path, joined, last):
    config = replace(config, join_validation=joined)
    assert Trial(0, config.backbone, "full", config, tmp_path, planned=STEPS).last == last


def test_the_epochs_on_all_data_are_not_scored_and_no_time_is_kept_for_it(config, tmp_path, monkeypatch):
    coming, make = [], trials.Stop
    monkeypatch.setattr(trials, "Stop", lambda *given, **more: coming.append(given[2]) or make(*given, **more))
    trial = advanced(replace(config, join_validation=1), tmp_path / "trial", STEPS // 2, STEPS)
    assert coming == [2 * 12, 0] and trial.state == "finished"
    assert trial.steps == trial.best == STEPS // 2 + 5, "60 examples in steps of 12"
    assert [rung["steps"] for rung in trial.rungs] == [STEPS // 2] and trial.score.n == 12
