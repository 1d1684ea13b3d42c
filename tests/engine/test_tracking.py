"""Trackers: what TensorBoard's files hold is what the run folder says; a missing one names the extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import yaml

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import TEXT
from mmtransfer.engine import phases, tracking
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    made = parse(TEXT, [*tiny.text(folder), "--weights", "none", "--track", "tensorboard"], {}, "a test")
    return {**made, "test": made["validation"], "epochs": 2, "batch_size": 12, "threads": 1, "log_every": 2}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: (step, value) by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = EventAccumulator(str(folder / "tensorboard"))
    files.Reload()
    return {name: [(e.step, e.value) for e in files.Scalars(name)] for name in files.Tags()["scalars"]}


def logged(folder: Path, name: str) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines]


def test_tensorboard_holds_losses_rates_scores_and_settings(given, tmp_path):
    run = mmt.fit(**given, out=tmp_path / "run")
    found = scalars(run.folder.path)
    assert len(found["train/loss"]) == 4 and found["train/loss"] == logged(run.folder.path, "loss")
    assert found["train/lr"] == logged(run.folder.path, "lr")
    assert [step for step, _ in found["validation/accuracy"]] == [4, 8]
    best = run.result["phases"][0]["best"]
    assert found["validation/accuracy"][best["epoch"] - 1][1] == pytest.approx(best["value"])
    test = run.metrics["test"]
    assert found["test/accuracy"] == [(8, pytest.approx(test["accuracy"]["value"]))]
    assert found["test/f1_macro"] == [(8, pytest.approx(test["f1_macro"]["value"]))]
    assert not any("[" in name for name in found) and any("[" in name for name in test)
    settings = yaml.safe_load(next(run.folder.path.glob("tensorboard/*/hparams.yml")).read_text())
    assert settings["epochs"] == 2 and settings["strategy_options.head_lr_ratio"] == 10.0 and settings["task"] == TEXT
    assert json.loads(run.folder.config.read_text())["track"] == ["tensorboard"]


def test_the_rate_told_is_that_of_the_phase(given, tmp_path):
    options = {"strategy": "linear-probe", "strategy_options": {"solver": "loop", "head_lr": 0.5}}
    run = mmt.fit(**{**given, "schedule": "constant", "warmup": 0.0, "lr": 1e-4, **options}, out=tmp_path / "run")
    assert [rate for _, rate in logged(run.folder.path, "lr")] == [0.5] * 4


def test_a_run_that_goes_on_does_not_say_a_step_twice(given, tmp_path, monkeypatch):
    validate = phases._validate

    def fall(training, *rest):
        if training.state.epochs_done == 1:
            raise RuntimeError("fell over after the last step, before the checkpoint")
        return validate(training, *rest)

    monkeypatch.setattr(phases, "_validate", fall)
    with pytest.raises(RuntimeError):
        mmt.fit(**given, checkpoint_minutes=0, out=tmp_path / "run")
    monkeypatch.undo()
    assert [step for step, _ in scalars(tmp_path / "run")["train/loss"]] == [2, 4, 6, 8]
    assert (tmp_path / "run/checkpoints/last").read_text() == "step-4\n"
    run = mmt.fit(task=TEXT, out=tmp_path / "run", resume=True)
    assert scalars(run.folder.path)["train/loss"] == logged(run.folder.path, "loss")


def test_a_tracker_that_is_not_installed_names_the_extra(given, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "wandb" else True)
    with pytest.raises(MMTransferError, match="wandb is not installed") as error:
        mmt.fit(**{**given, "track": ["tensorboard", "wandb"]}, out=tmp_path / "run")
    assert error.value.where == "--track wandb" and "mmtransfer[track]" in error.value.do
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_names_the_known_ones(given, tmp_path):
    with pytest.raises(MMTransferError, match="Unknown tracker 'wandbb'.*\n.*\n.*did you mean wandb"):
        mmt.fit(**{**given, "track": "wandbb"}, out=tmp_path / "run")


def test_several_trackers_are_one_flag():
    words = ["--train", "x", "--track", "tensorboard", "wandb"]
    assert parse(TEXT, words, {}, "a test")["track"] == ("tensorboard", "wandb")
