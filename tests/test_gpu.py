"""What only a GPU can show: states of one device read on another, memory that ends, processes that share one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from accelerate import Accelerator
from tiny_runs import begin, frozen_texts

import mmtransfer as mmt
from mmtransfer.cache.settings import Cache
from mmtransfer.cache.store import Store
from mmtransfer.config import TEXT
from mmtransfer.engine import determinism, entries, phases
from mmtransfer.engine.features import features
from mmtransfer.engine.graphs import AGREE, SEEN, Graphs, Recorder
from mmtransfer.engine.graphs import apart as graphs_apart
from mmtransfer.engine.loading import uploaded
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.passes import Passes
from mmtransfer.engine.scaling import Scaler
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.states import States
from tests.engine.pieces import start_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


def machine_on(device: str, config: Any) -> Machine:
    """A lone process on a device."""
    alone: Any = SimpleNamespace(
        device=torch.device(device), is_main_process=True, num_processes=1, process_index=0, local_process_index=0
    )
    return Machine.as_it_is(config, alone)


def test_features_stored_by_one_device_agree_with_those_of_the_other(tmp_path: Path) -> None:
    model, examples = frozen_texts(tmp_path)
    config = model.task.config
    for number, (builder, reader) in enumerate((("cpu", "cuda"), ("cuda", "cpu"))):
        cache = Cache("auto", Store(tmp_path / f"cache-{number}"))
        built = States(model.to(builder), examples, machine_on(builder, config), model.end, cache)
        assert features(model, examples, built.machine, model.end, cache) is not None
        key = entries.name_entries({"inputs": built})["inputs"]
        read = States(model.to(reader), examples, machine_on(reader, config), model.end, cache)
        found = entries.open_entry(read, key)
        assert found is not None, "it was thrown away: a few rows computed again did not agree"
        assert torch.allclose(found.matrix(), read.collect().matrix(), atol=1e-2)
        assert entries.name_entries({"inputs": read})["inputs"] != key, "each device has entries of its own"


@pytest.fixture
def heavy(tmp_path: Path) -> dict[str, Any]:
    """64 texts of 256 tokens in one step, in a BERT whose activations fill a gigabyte."""
    words = [chr(97 + number) for number in range(26)]
    shape = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024, "num_hidden_layers": 4}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    backbone = tiny.bert(tmp_path / "bert", words, **shape, **still, max_position_embeddings=256)
    rows = [(" ".join(words * 9), "xy"[number % 2]) for number in range(64)]
    tokens = {"max_length": 256, "micro_batch_tokens": 64 * 256}
    steps = {"epochs": 2, "batch_size": 64, "optimizer": "sgd", "lr": 0.01, "precision": "fp32", "strategy": "full"}
    data = {"train": rows, "validation": rows[:4], "backbone": str(backbone), "weights": "none"}
    return {"task": TEXT, **data, **tokens, **steps, "cache": "off", "workers": 0}


@pytest.fixture
def memory() -> Any:
    """Ends the memory of this process at a share of the GPU's; all of it is there again afterwards."""
    yield torch.cuda.set_per_process_memory_fraction
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_a_step_that_does_not_fit_is_cut_and_its_weights_stay(heavy, memory, tmp_path, caplog):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = mmt.fit(**heavy, out=str(tmp_path / "whole"))
    before = whole.model.state_dict()
    before = {name: value.cpu() for name, value in before.items()}
    peak, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    memory(0.6 * peak / total)
    with caplog.at_level("WARNING", "mmtransfer"):
        run = mmt.fit(**heavy, out=str(tmp_path / "short"))
    assert "Out of memory: micro-batches of at most" in caplog.text
    after = run.model.state_dict()
    assert all(torch.allclose(value.cpu(), before[name], atol=1e-3) for name, value in after.items())
    assert run.result["memory"]["device_peak_bytes"] < 0.6 * peak


def test_two_processes_on_one_gpu_are_refused(tmp_path):
    flags = ["--train", "builtin", "--backbone", "builtin", "--epochs", "1", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(
        [*command, "mmtransfer", "fit", TEXT, *flags], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode and "2 processes on this machine, and 1 GPU(s)" in done.stderr, done.stderr[-2000:]
    assert not (tmp_path / "run").exists()


def test_cublas_that_has_started_is_too_late_for_determinism(monkeypatch):
    torch.zeros(1, device="cuda")
    monkeypatch.delenv(determinism.VARIABLE, raising=False)
    with pytest.raises(mmt.MMTransferError, match="CUDA has started without it"):
        determinism.prepare(True)


def test_fp16_trains_and_its_scale_goes_on(heavy, tmp_path):
    run = mmt.fit(**{**heavy, "precision": "fp16", "max_length": 32}, out=str(tmp_path / "run"), keep_checkpoints=True)
    assert run.result["precision"]["dtype"] == "fp16"
    states = sorted((tmp_path / "run" / "checkpoints").glob("step-*/state.json"))
    assert states and json.loads(states[-1].read_text())["scale"] > 0


@pytest.mark.parametrize("case", ["text", "speech"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_passes_leave_the_gradients_of_the_passes_as_they_are(case, precision, tmp_path):
    training, model, splits, phase = start_of(case, tmp_path, False, 10**9, Accelerator())
    model.to("cuda").precision = precision
    model.backbone.freeze(())
    model = model.starting(phase.trains).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    graphs = Graphs(model, training.machine, parameters, Recorder(training.machine.device), forced=True)
    found = []
    for passes in (Passes(model, model, parameters, graphs), Passes(model, model, parameters)):
        for _ in range(SEEN + 2):
            passes.clear()
            (batch,) = uploaded(splits.train.batches(model.task, [[0, 3, 5]], 0, True, 0), training.machine.device)
            training.machine.seed(3)
            outputs = model.task.target.counted(passes(batch.state, 3), model.backbone.lengths(batch.lengths))
            model.task.target.loss(outputs, batch.targets).sum().backward()
            del outputs  # and what autograd has noted of it, which recording must not meet
        found.append([p.grad.clone() for p in parameters if p.grad is not None])
    assert graphs.figures.replayed == 2 and not graphs.figures.why_not
    assert len(found[0]) == len(found[1]) and graphs_apart(*found) < AGREE["tf32" if precision == "fp32" else precision]


def recorded(model: Any, machine: Machine) -> Graphs:
    """What records the passes of a model that trains as a whole."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Graphs(model, machine, parameters, Recorder(machine.device), forced=True)


def test_replays_drop_out_what_their_seed_says(tmp_path):
    training, model, splits, phase = start_of("text", tmp_path, False, 10**9, Accelerator())
    model.backbone.freeze(())
    model = model.to("cuda").starting(phase.trains).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    graphs = recorded(model, training.machine)
    (batch,) = uploaded(splits.train.batches(model.task, [[0, 3, 5]], 0, True, 0), training.machine.device)

    def outputs(seed: int) -> torch.Tensor:
        training.machine.seed(seed)
        return graphs(batch.state, seed)["logits"].detach().clone()

    as_it_is = [outputs(seed) for seed in (1, 2, 1)]
    assert len(as_it_is) == SEEN and graphs.figures.replayed == 0
    one, other, again = (outputs(seed) for seed in (1, 2, 1))
    assert graphs.figures.replayed == 3 and torch.equal(one, again) and not torch.allclose(one, other, atol=1e-2)
    assert graphs_apart([one, other], as_it_is[:2]) < AGREE["tf32"], "the units are those of the passes as they are"


def test_replays_move_running_statistics_as_passes_do(tmp_path):
    training, model, splits, plan = begin("resnet18", "full", tmp_path)
    machine = machine_on("cuda", training.config)
    model.backbone.freeze(())
    model = model.to("cuda").starting(plan[-1].trains).train()
    other = deepcopy(model)
    (batch,) = uploaded(splits.train.batches(model.task, [list(range(8))], 0, True), machine.device)
    graphs = recorded(model, machine)
    for passes, own in ((graphs, model), (lambda state, _: other(state), other)):
        for _ in range(SEEN + 3):
            machine.seed(3)
            own.task.target.loss(passes(batch.state, 3), batch.targets).sum().backward()
    assert graphs.figures.replayed == 3
    moved = [(name, value, dict(other.named_buffers())[name]) for name, value in model.named_buffers()]
    assert moved and all(torch.allclose(one, two, rtol=1e-2, atol=1e-3) for _, one, two in moved)
    counted = {int(value) for name, value, _ in moved if name.endswith("num_batches_tracked")}
    assert counted == {SEEN + 3}, "recording has moved none"
    found = [[p.grad for p in each.parameters() if p.grad is not None] for each in (model, other)]
    assert graphs_apart(*found) < AGREE["tf32"]


@pytest.mark.parametrize(("optimizer", "precision"), [("adamw", "fp32"), ("sgd", "fp16")])
def test_steps_between_lines_of_the_log_do_not_wait_for_the_device(optimizer, precision, tmp_path, monkeypatch):
    training, model, splits, phase = start_of("text", tmp_path, False, 10**9, Accelerator())
    config = replace(training.config, optimizer=optimizer, batch_size=2, log_every=1000, graphs="off")
    training = replace(training, config=config, scaler=Scaler(training.machine.device, precision))
    model.to("cuda").precision = precision
    advance, watched = TrainState.advance, list[int]()

    def counted(state: TrainState, *given: Any) -> None:
        """Behind each step; of the eleven of the second epoch, those between the first and the last may not wait."""
        advance(state, *given)
        strict = state.epochs_done == 1 and state.step < 10
        watched.extend([state.step + 1] if strict else [])
        torch.cuda.set_sync_debug_mode("error" if strict else "default")

    monkeypatch.setattr(TrainState, "advance", counted)
    try:
        phases.train(training, model, Splits(splits.train), [phase])  # validation would wait
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watched == list(range(2, 11)) and training.state.steps_done == 22
