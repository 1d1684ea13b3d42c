"""fp16 and its scale: steps that overflow are left out and counted, and a resumed run goes on with the same scale."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn

import mmtransfer as mmt
from mmtransfer.engine import phases, precision
from mmtransfer.engine.scaling import Scaler
from mmtransfer.engine.signals import Interrupted
from mmtransfer.engine.state import TrainState
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.targets.single_label import SingleLabel

CPU = torch.device("cpu")


def prepared() -> tuple[nn.Parameter, AcceleratedOptimizer]:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = Accelerator(cpu=True).prepare(torch.optim.SGD([weight], lr=0.5))
    return weight, optimizer


def step(scaler: Scaler, weight: nn.Parameter, optimizer: AcceleratedOptimizer, slope: float) -> None:
    scaler.scale((weight * slope).sum()).backward()
    scaler.unscale(optimizer)
    scaler.step(optimizer)
    optimizer.zero_grad()


def test_without_fp16_nothing_is_scaled_or_kept():
    scaler, state = Scaler(CPU, "bf16"), TrainState()
    weight, optimizer = prepared()
    step(scaler, weight, optimizer, 0.5)
    scaler.keep(state)
    assert weight.item() == 0.75 and scaler.scale(torch.ones(())) == 1.0
    assert state == TrainState()


def test_a_step_that_overflows_is_left_out_and_the_scale_goes_on_from_a_state(caplog):
    scaler, state = Scaler(CPU, "fp16"), TrainState(steps_done=3)
    weight, optimizer = prepared()
    for slope in (0.5, float("inf"), 0.5):
        step(scaler, weight, optimizer, slope)
    with caplog.at_level("INFO", "mmtransfer"):
        scaler.tell(state)
    assert weight.item() == 0.5
    assert (state.scale, state.scale_age, state.skipped) == (2.0**15, 1, 1)
    assert "fp16: 1 of 3 steps left out" in caplog.text
    other, again = Scaler(CPU, "fp16"), TrainState()
    again.load_state_dict(state.state_dict())
    other.take(again)
    assert float(other.scale(torch.ones(()))) == 2.0**15
    step(other, weight, optimizer, float("nan"))
    other.keep(again)
    assert (again.scale, again.scale_age, again.skipped) == (2.0**14, 0, 2)


def test_a_run_in_fp16_goes_on_to_the_same_weights(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has", lambda kind, device: True)
    monkeypatch.setattr("torch.amp.GradScaler", _High)
    settings = {**settings, "strategy": "full", "epochs": 2, "precision": "fp16"}
    kinds: set[torch.dtype] = set()
    loss = SingleLabel.loss
    monkeypatch.setattr(
        SingleLabel,
        "loss",
        lambda own, outputs, targets: (kinds.add(outputs["logits"].dtype), loss(own, outputs, targets))[1],
    )
    whole = mmt.fit(**settings, out=str(tmp_path / "whole"))
    validate = phases._validate

    def stop(training: Any, *others: Any) -> None:
        validate(training, *others)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(phases, "_validate", stop)
        with pytest.raises(Interrupted):
            mmt.fit(**settings, out=str(tmp_path / "stopped"))
    run = mmt.fit(**{**settings, "resume": True}, out=str(tmp_path / "stopped"))
    one, other = whole.model.state_dict(), run.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert run.result["precision"]["dtype"] == "fp16" and kinds == {torch.float32}


class _High(torch.amp.GradScaler):
    """Starts where the gradients of small networks overflow."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, init_scale=2.0**30, **named)


def test_fp16_is_for_gpus(settings, tmp_path):
    with pytest.raises(MMTransferError, match="fp16 is for GPUs") as error:
        mmt.fit(**{**settings, "precision": "fp16"}, out=str(tmp_path / "run"))
    assert error.value.where == "--precision fp16"


def test_a_gpu_without_bf16_takes_fp16(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert (precision.half(cuda), precision.half(CPU)) == ("fp16", None)
    assert (precision.usable("fp16", cuda), precision.usable("fp16", CPU)) == ("fp16", "fp32")
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    assert precision.half(cuda) == precision.half(CPU) == "bf16"
