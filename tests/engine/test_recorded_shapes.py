"""What recording passes does with shapes that are no lengths, with wrapped networks, and when memory ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny_runs import begin
from torch import nn

from mmtransfer.backbones import deepspeech, wrap
from mmtransfer.engine import phases
from mmtransfer.engine.graphs import SEEN, WARM, Graphs
from mmtransfer.engine.loop import train_epoch
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.passes import Passes, refusal
from mmtransfer.engine.shapes import rounded_shapes
from mmtransfer.errors import MMTransferError
from tests.engine.pieces import start_of
from tests.engine.test_graphs import Again


def passes_of(model: Any, machine: Machine) -> Passes:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Passes(model, model, parameters, Graphs(model, machine, parameters, Again()))


def test_patches_and_pooled_features_are_as_large_as_they_are() -> None:
    patches, pooled = {"x": torch.zeros(2, 197, 768)}, {"x": torch.zeros(2, 1408)}
    assert rounded_shapes(patches, None) == {"x": (2, 197, 768)} and rounded_shapes(pooled, None) == {"x": (2, 1408)}
    lengths = torch.tensor([197, 3])
    assert rounded_shapes({**patches, "lengths": lengths}, None) == {"x": (2, 224, 768), "lengths": (2,)}


def test_recorded_passes_of_a_vision_transformer_see_no_more_patches(tmp_path: Path) -> None:
    training, model, splits, plan = begin("vit", "full", tmp_path)
    model.backbone.freeze([0])
    model = replace_start(model, 1)
    machine = training.machine
    passes, found = passes_of(model, machine), []
    (batch,) = splits.train.batches(model.task, [[0, 1]], 0, False, 0)
    with torch.no_grad():
        reached = model.reach(batch.state, 0, 1)
    assert reached["x"].shape[1] % 8, "a number of patches that rounding would raise"
    for number in range(SEEN + 2):
        machine.seed(number)
        found.append(passes(reached, number)["logits"].detach().clone())
        machine.seed(number)
        torch.testing.assert_close(found[-1], model(reached)["logits"].detach(), rtol=1e-4, atol=1e-5)
    assert passes.graphs.figures.replayed == 2 and passes.graphs.figures.as_dict()["rounding_share"] == 0


def test_a_replay_has_to_be_faster_than_the_lengths_as_they_are(tmp_path: Path) -> None:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    model = model.starting(phase.trains).train()
    passes, seen = passes_of(model, training.machine), list[int]()
    (batch,) = splits.train.batches(model.task, [[0, 1, 2]], 0, False, 0)
    length = batch.state["x"].shape[1]
    assert length % 8
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]["x"].shape[1]))
    for number in range(SEEN + 1):
        passes(batch.state, number)
    assert seen.count(length) == WARM, "what is timed beside the replays"


def replace_start(model: Any, start: int) -> Any:
    """The same model, its passes from a stage on."""
    return type(model)(model.backbone, model.head, model.task, model.precision, start).train()


def test_what_looks_at_values_on_the_host_is_not_recorded(tmp_path: Path) -> None:
    training, model, *_ = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    there: Any = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    machine = replace(training.machine, accelerator=there)
    assert not refusal(training.config, machine, model.backbone)
    spoken = wrap(nn.Sequential(nn.Unflatten(1, (-1, 100)), nn.Linear(100, 4)), "speech")
    pictures = wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)), "image", image_size=8)
    assert "lengths that the host reads" in refusal(training.config, machine, spoken)
    assert not refusal(training.config, machine, spoken, start=1), "a head on what it gave may be recorded"
    assert not refusal(training.config, machine, pictures) and not deepspeech.DeepSpeechBackbone.recordable


def test_out_of_memory_gives_recordings_up_before_it_cuts_steps(tmp_path: Path, monkeypatch, caplog) -> None:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    model = model.starting(phase.trains).train()
    passes = passes_of(model, training.machine)
    (batch,) = splits.train.batches(model.task, [[0, 1, 2]], 0, False, 0)
    for number in range(SEEN + 1):
        model.task.target.loss(passes(batch.state, number), batch.targets).sum().backward()
    assert passes.graphs.recorded
    ends = [torch.OutOfMemoryError("no more"), torch.OutOfMemoryError("no more"), None]

    def short(*others: Any) -> None:
        error = ends.pop(0)
        if error is not None:
            raise error

    monkeypatch.setattr(phases, "train_epoch", short)
    training.state.phases.append({"name": "full"})
    training.state.budget = 10_000
    plan = phases._plan(training, splits)
    found = phases._train_epoch(training, passes, None, splits, phase, plan, lambda: None)
    assert found.budget == plan.halved().budget and not ends
    assert not passes.graphs.recorded and passes.graphs.figures.why_not == "out of memory"
    assert [line for line in caplog.messages if "not recorded, from here on" in line]


def test_forced_recordings_are_made_anew_of_smaller_micro_batches(tmp_path: Path) -> None:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    model = model.starting(phase.trains).train()
    passes = passes_of(model, training.machine)
    passes.graphs.forced = True
    for indices in ([0, 1, 2], [0, 1]):
        passes.graphs.recorder.timed = 0
        (batch,) = splits.train.batches(model.task, [indices], 0, False, 0)
        for number in range(SEEN + 1):
            model.task.target.loss(passes(batch.state, number), batch.targets).sum().backward()
        assert len(passes.graphs.recorded) == 1 and not passes.release()
        assert passes.graphs.open and not passes.graphs.recorded


def test_a_phase_that_goes_on_keeps_what_ended_its_recording_but_not_why_none_began(
    tmp_path: Path, monkeypatch
) -> None:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    given: list[Any] = []
    made = Passes.of.__func__

    def of(cls: Any, config: Any, machine: Any, prepared: Any, given_up: Any, rows: Any) -> Passes:
        given.append(given_up)
        return made(cls, config, machine, prepared, given_up, rows)

    monkeypatch.setattr(Passes, "of", classmethod(of))
    for told in ({"shapes": 3, "why_not": "out of memory"}, {"why_not": "several processes"}):
        training.state.phases[:] = [{**phases._entry(phase), "graphs": told}]
        training.state.phase = training.state.epoch = training.state.step = 0
        phases.train(training, model, splits, [phase])
    assert given == ["out of memory", None]


def test_out_of_memory_in_the_step_of_the_optimiser_says_what_helps(tmp_path: Path) -> None:
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    model.backbone.freeze(())
    model = model.starting(phase.trains)
    prepared, optimizer = phases._prepare(training, model, phase, no_average(), None)
    passes = Passes.of(training.config, training.machine, prepared)

    def short(*others: Any) -> None:
        raise torch.OutOfMemoryError("no more")

    optimizer.optimizer.step = short
    training.state.phases.append({"name": "full"})
    epoch = phases._plan(training, splits).epoch(0)
    bar: Any = SimpleNamespace(advance=lambda count: None)
    with pytest.raises(MMTransferError, match="optimiser's step: no more") as caught:
        train_epoch(training, passes, optimizer, splits.train, epoch, len(epoch), bar, lambda: None)
    assert "--strategy partial or lora" in caught.value.do and "--graphs off" not in caught.value.do


def no_average() -> Any:
    return SimpleNamespace(attach=lambda optimizer: None, average=None)
