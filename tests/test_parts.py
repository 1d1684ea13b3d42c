"""Biases or normalisation alone, through the command line: what trains, what is kept, what a resumed run ends with."""

from __future__ import annotations

import json
import signal

import pytest
import tiny
import torch
from safetensors.torch import load_file

import mmtransfer as mmt
from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine.state import TrainState
from mmtransfer.errors import MMTransferError

COMMON = ["--threads", "1", "--epochs", "2", "--batch-size", "12", "--weights", "none", "--keep-checkpoints"]


@pytest.mark.parametrize(("strategy", "ending"), [("bitfit", "bias"), ("norm", "LayerNorm")])
def test_only_the_part_moves_and_is_kept(command, tmp_path, strategy, ending):
    flags = [*tiny.text(tmp_path), *COMMON, "--strategy", strategy, "--strategy.n", "1", "--cache", "on"]
    status, _, said = command("fit", TEXT, *flags, "--out", tmp_path / "run")
    assert status == 0, said
    kept = load_file(next((tmp_path / "run/checkpoints").glob("step-*/weights.safetensors")))
    own = {name for name in kept if name.startswith("backbone.")}
    assert own and all(name.startswith("backbone.stages.2.") and ending in name for name in own)
    run = mmt.load(tmp_path / "run")
    assert run.result["cache"]["cut"] == "stage 2"
    moved = sum(kept[name].numel() for name in own)
    head = sum(value.numel() for name, value in kept.items() if name.startswith("head."))
    assert run.result["parameters"]["trainable"] == moved + head
    torch.manual_seed(0)
    assert run.predict(["a b c"])[0].label in "xy"


def test_a_stopped_run_ends_with_the_same_weights(command, tmp_path, monkeypatch):
    flags = [*tiny.images(tmp_path), *COMMON, "--strategy", "norm", "--augment", "none"]
    assert command("fit", IMAGE, *flags, "--out", tmp_path / "whole")[0] == 0
    advance, steps = TrainState.advance, []

    def stop(state, *counts):
        advance(state, *counts)
        steps.append(state.steps_done)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(TrainState, "advance", stop)
    assert command("fit", IMAGE, *flags, "--out", tmp_path / "stopped")[0] == 143
    monkeypatch.setattr(TrainState, "advance", advance)
    assert command("fit", IMAGE, "--resume", "--out", tmp_path / "stopped")[0] == 0
    models = [load_file(tmp_path / name / "model/backbone.safetensors") for name in ("whole", "stopped")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    results = [json.loads((tmp_path / name / "result.json").read_text())["metrics"] for name in ("whole", "stopped")]
    assert results[0] == results[1]


def test_a_part_that_a_backbone_does_not_have_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Backbone, "selected", lambda *_: [])
    with pytest.raises(MMTransferError, match="have no normalisation to train"):
        mmt.fit(**{**tiny.text_settings(tmp_path), "strategy": "norm", "out": str(tmp_path / "run")})


def test_a_librarys_own_normalisation_is_one():
    class LlamaRMSNorm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

    backbone = Backbone.__new__(Backbone)
    torch.nn.Module.__init__(backbone)
    backbone.stages = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(2, 2), LlamaRMSNorm())])
    assert backbone.selected([0], "norm") == ["stages.0.1.weight"]
