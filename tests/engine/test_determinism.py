"""Deterministic algorithms, and cuDNN's search for fast ones: on inside, as before afterwards."""

from __future__ import annotations

import json
import os
import traceback
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import mmtransfer as mmt
from mmtransfer.config import SPEECH
from mmtransfer.engine import determinism
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.workers import Workers
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete
from mmtransfer.tasks.targets import Transcript

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def in_force() -> tuple[Any, ...]:
    sdp, cudnn = torch.backends.cuda, torch.backends.cudnn
    backends = sdp.flash_sdp_enabled(), sdp.math_sdp_enabled(), sdp.mem_efficient_sdp_enabled(), sdp.cudnn_sdp_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, filling, backends


@pytest.mark.parametrize("searching", [False, True])
def test_settings_hold_inside_and_are_put_back(searching, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", searching)
    before = in_force()
    with determinism.deterministic(True, CPU):
        assert in_force() == (True, True, False, False, (True, True, False, False))
    assert in_force() == before
    with pytest.raises(KeyError), determinism.deterministic(True, CPU):
        raise KeyError
    assert in_force() == before
    with determinism.deterministic(False, CPU):
        assert in_force() == before


def test_an_operation_without_a_deterministic_form_is_named():
    message = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set ..."
    with (
        pytest.raises(MMTransferError, match="no deterministic form: adaptive_avg_pool2d_backward_cuda") as error,
        determinism.deterministic(True, CPU),
    ):
        raise RuntimeError(message)
    assert error.value.where == "--deterministic"
    with pytest.raises(RuntimeError, match="something else"), determinism.deterministic(True, CPU):
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("found", "started", "what"),
    [
        (None, False, None),
        (":16:8", True, None),
        (None, True, "is not set, and CUDA has started without it"),
        (":0:0", False, "is :0:0, not :4096:8 or :16:8"),
    ],
)
def test_cublas_is_told_before_cuda_starts(found, started, what, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    monkeypatch.setenv(determinism.VARIABLE, found or "")
    if found is None:
        monkeypatch.delenv(determinism.VARIABLE)
    determinism.prepare(False)
    assert os.environ.get(determinism.VARIABLE) == found
    if what is None:
        determinism.prepare(True)
        assert os.environ[determinism.VARIABLE] == found or ":4096:8"
    else:
        with pytest.raises(MMTransferError, match=what):
            determinism.prepare(True)


def test_a_run_keeps_it_and_computes_the_same_on_a_cpu(settings, tmp_path, monkeypatch):
    seen: list[bool] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda *words, **named: (seen.append(torch.are_deterministic_algorithms_enabled()), step(*words, **named))[1],
    )
    runs = {
        asked: mmt.fit(**settings, strategy="full", deterministic=asked, out=str(tmp_path / str(asked)))
        for asked in (True, False)
    }
    half = len(seen) // 2
    assert half and seen == [True] * half + [False] * half
    one, other = (run.model.state_dict() for run in runs.values())
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert json.loads(runs[True].folder.config.read_text())["deterministic"] is True
    runs[True].folder.result.unlink()
    with pytest.raises(MMTransferError, match="was started with deterministic=True"):
        mmt.fit(**settings, resume=True, deterministic=False, out=str(tmp_path / "True"))


def test_the_loss_of_a_transcript_is_the_same():
    target = Transcript(complete({"task": SPEECH, "train": "-"}), "")
    torch.manual_seed(0)
    scores = nn.Parameter(torch.randn(3, 12, 5))
    targets = torch.tensor([[1, 2, 3], [4, -1, -1], [2, 2, -1]])

    def loss_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        scores.grad = None
        outputs = {"log_probs": scores.log_softmax(-1), "lengths": torch.tensor([12, 7, 9])}
        losses = target.loss(outputs, targets)
        losses.sum().backward()
        assert scores.grad is not None
        return losses.detach(), scores.grad.clone()

    plain = loss_and_gradient()
    with determinism.deterministic(True, CPU):
        asked = loss_and_gradient()
    assert all(torch.equal(one, other) for one, other in zip(plain, asked, strict=True))


@pytest.mark.parametrize(
    ("fixed", "device", "asked", "searches"),
    [(True, CUDA, False, True), (False, CUDA, False, False), (True, CPU, False, False), (True, CUDA, True, False)],
)
def test_cudnn_searches_where_sizes_are_fixed(fixed, device, asked, searches):
    before = torch.backends.cudnn.benchmark
    with determinism.deterministic(asked, CPU), determinism.fastest_convolutions(fixed, device):
        assert torch.backends.cudnn.benchmark is searches
    assert torch.backends.cudnn.benchmark is before


def machine_on(device: torch.device) -> Machine:
    alone: Any = SimpleNamespace(device=device)
    return Machine(alone, 1, Workers(0, 1, CPU), "fp32")


@pytest.mark.parametrize("number", [0, 7, 2**63 - 1])
def test_a_seed_gives_torchs_numbers_and_formats_no_stack_trace(number, monkeypatch):
    torch.manual_seed(number)
    expected = torch.randn(9)
    monkeypatch.setattr(traceback, "format_stack", lambda *_: pytest.fail("a stack trace is formatted"))
    machine_on(CPU).seed(number)
    assert torch.equal(torch.randn(9), expected)


def test_a_seed_is_that_of_the_host_and_of_its_own_gpu(monkeypatch):
    gpus = (torch.Generator(), torch.Generator())
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    before = gpus[0].initial_seed()
    machine_on(torch.device("cuda", 1)).seed(5)
    assert [gpu.initial_seed() for gpu in gpus] == [before, 5] and torch.default_generator.initial_seed() == 5
    machine_on(CUDA).seed(6)
    assert [gpu.initial_seed() for gpu in gpus] == [6, 5] and torch.default_generator.initial_seed() == 6
