"""Every strategy on every kind of family: what may change changes, all else keeps every bit; saved is loaded; a run
that was stopped goes on to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_runs import PICTURES, RECORDINGS, TEXTS, begin, copies, train
from torch import Tensor

from mmtransfer.backbones import adapters, weights
from mmtransfer.engine import anchoring, checkpoint, phases
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.stopping import Stop
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import STRATEGIES, stages_of

WITHOUT_TARGETS = ("albert", "resnet18")
SELECTING = ("linear-probe", "partial", "full", "gradual", "bitfit", "norm", "lora", "dora")
"""Strategies that differ in what they train."""


def assert_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("family", [*TEXTS, *PICTURES, *RECORDINGS])
@pytest.mark.parametrize("strategy", SELECTING)
def test_what_may_change_changes_and_all_else_keeps_every_bit(strategy, family, tmp_path) -> None:
    if strategy in ("lora", "dora") and family in WITHOUT_TARGETS:
        with pytest.raises(MMTransferError, match="no linear layers of attention or MLP"):
            begin(family, strategy, tmp_path)
        return
    begun = begin(family, strategy, tmp_path)
    begun = begun._replace(splits=Splits(begun.splits.train))  # without validation data the last epoch is kept
    if strategy == "bitfit" and family == "modernbert":
        assert not begun.model.trained(begun.plan)  # a run is refused: its layers have no biases
        return
    before, may = copies(begun.model), {f"backbone.{name}" for name in begun.model.trained(begun.plan)}
    model = train(begun)
    after = copies(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in changed if name.startswith("head.")}
    assert {name for name in changed if name.startswith("backbone.")} <= may
    stages, moved = ({name.split(".")[2] for name in names} for names in (may, changed & may))
    assert moved == stages and bool(moved) == bool(stages_of(begun.plan))
    if strategy in ("bitfit", "norm", "lora", "dora"):
        assert not [name for name in changed if "running" in name]
    adapters.merge(model.backbone)
    weights.save(model.backbone, tmp_path / "model")
    assert_equal(weights.read_model(tmp_path / "model").state_dict(), model.backbone.state_dict())


def test_stages_in_front_without_anything_to_train_are_frozen_unless_all_are_to_train(tmp_path) -> None:
    (some,) = begin("wav2vec2", "lora", tmp_path / "some", {"n": 3}).plan
    assert (some.trains.stages, len(some.rates.stages)) == ((2, 3), 2)  # the second projects frames: no adapters
    (every,) = begin("wav2vec2", "lora", tmp_path / "every").plan
    assert every.trains.stages == (0, 1, 2, 3)  # dropout and masks stay in front of the adapters


CASES = [(name, family) for name in STRATEGIES for family in ("bert", "vit", "resnet18", "wav2vec2")]
CASES = [(name, family) for name, family in CASES if name not in ("lora", "dora") or family not in WITHOUT_TARGETS]


@pytest.mark.parametrize(("strategy", "family"), CASES)
def test_a_stopped_run_goes_on_to_the_same_bits(strategy, family, tmp_path, monkeypatch) -> None:
    if family == "resnet18" and strategy not in ("full", "wise-ft"):
        pytest.skip("these two are the ones that move its running statistics in ways of their own")
    options = {"solver": "loop"} if strategy == "linear-probe" else {}
    whole = copies(train(begin(family, strategy, tmp_path / "whole", options, ema=0.9)))
    signals: list[int] = []
    begun = begin(family, strategy, tmp_path / "stopped", options, ema=0.9)
    advance = TrainState.advance

    def stopping(state: TrainState, *counts: Any) -> None:
        advance(state, *counts)
        if state.steps_done == 3:
            signals.append(15)

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "advance", stopping)
        stopped = replace(begun.training, stop=Stop(signals))
        start = anchoring.start_of(begun.model, begun.plan)
        assert phases.train(stopped, begun.model, begun.splits, begun.plan, start=start).status == "stopped"
        stopped.saver.wait()
    training, model, splits, plan = begin(family, strategy, tmp_path / "stopped", options, ema=0.9)
    start = anchoring.start_of(model, plan)
    point = checkpoint.newest(training.folder / "checkpoints")
    assert point is not None
    moments = checkpoint.restore(point, training.state, model, model.trained(plan))
    assert training.state.steps_done == 3
    assert_equal(copies(phases.train(training, model, splits, plan, moments, start).model), whole)


@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert", "vit", "convnext", "wav2vec2", "wavlm"])
@pytest.mark.parametrize("strategy", ["lora", "dora"])
def test_merged_adapters_compute_the_same_and_are_saved(strategy, family, tmp_path) -> None:
    begun = begin(family, strategy, tmp_path)
    model = train(begun).eval()
    for _, _, adapter in adapters.adapted(model.backbone):
        torch.nn.init.normal_(adapter.B, std=0.1)
        if adapter.magnitude is not None:
            torch.nn.init.uniform_(adapter.magnitude, 0.5, 1.0)
    plain = features(model)
    for _, _, adapter in adapters.adapted(model.backbone):  # each has a part in what is computed
        kept = adapter.B.data.clone()
        adapter.B.data.zero_()
        assert not torch.allclose(features(model), plain, atol=1e-7)
        adapter.B.data.copy_(kept)
    adapters.merge(model.backbone)
    model.requires_grad_(False)  # WavLM's attention takes another kernel where a gradient is wanted
    merged = features(model)
    assert torch.allclose(merged, plain, atol=2e-5, rtol=1e-4) and not list(adapters.adapted(model.backbone))
    weights.save(model.backbone, tmp_path / "model")
    model.backbone = weights.read_model(tmp_path / "model").requires_grad_(False)
    assert torch.equal(features(model.eval()), merged)


def features(model: Model) -> Tensor:
    """Of two inputs that depend on the backbone alone."""
    torch.manual_seed(2)
    states: dict[str, Callable[[], dict[str, Tensor]]] = {
        "text": lambda: {"x": torch.randint(5, 12, (2, 9)), "lengths": torch.tensor([9, 5])},
        "image": lambda: {"x": torch.randn(2, 3, 32, 32)},
        "speech": lambda: {"x": torch.randn(2, 1500), "lengths": torch.tensor([1500, 900])},
    }
    with torch.no_grad():
        state = model.backbone.run(states[model.backbone.modality]())
    return state["x"] if model.backbone.modality == "speech" else model.backbone.pool(state)
