"""Frozen stages keep every bit, buffers included, while the rest trains."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import tiny
import torch
from torch import Tensor, nn

from mmtransfer import backbones
from mmtransfer.backbones.speech import span_mask
from mmtransfer.backbones.staged import Backbone, State

FROZEN = (0, 1, 2)
SPEECH = {"model_type": "wav2vec2", **tiny.WAV2VEC2, "mask_time_prob": 0.3}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tensors(backbone: Backbone, stages: Collection[int]) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value.clone()
        for number in stages
        for name, value in backbone.stages[number].state_dict().items()
    }


def train(backbone: Backbone, state: State, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([p for p in backbone.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        backbone.train()
        optimizer.zero_grad()
        backbone.run(state)["x"].square().mean().backward()
        optimizer.step()


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def train_resnet() -> tuple[set[str], set[str]]:
    """The tensors of frozen and of trained stages that moved in three steps."""
    backbone = backbones.load("resnet18", "none")
    backbone.freeze(FROZEN)
    rest = set(range(len(backbone.stages))) - set(FROZEN)
    frozen, trained = tensors(backbone, FROZEN), tensors(backbone, rest)
    train(backbone, {"x": torch.randn(4, 3, 32, 32)})
    return moved(frozen, tensors(backbone, FROZEN)), moved(trained, tensors(backbone, rest))


def test_frozen_stages_of_resnet_keep_every_bit() -> None:
    frozen, trained = train_resnet()
    assert not frozen
    assert any("running_mean" in name for name in trained)
    assert any(name.endswith("weight") for name in trained)


def test_without_the_train_override_buffers_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backbone, "train", nn.Module.train)
    frozen, _ = train_resnet()
    assert frozen
    assert all(name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked") for name in frozen)


def speech() -> tuple[Backbone, State]:
    description = {"modality": "speech", "family": "wav2vec2", "config": SPEECH, "name": "tiny", "source": ""}
    backbone = backbones.rebuild({**description, "preprocess": {}})
    state = {"x": torch.randn(2, 1500), "lengths": torch.tensor([1500, 900])}
    frames = backbone.lengths(state["lengths"])
    state["masked"] = span_mask(torch.tensor([3, 4]), frames, int(frames.max()), backbone.mask_prob)
    return backbone, state


def test_frozen_stages_of_wav2vec2_keep_every_bit() -> None:
    backbone, state = speech()
    backbone.freeze({0, 1})
    before, rest = tensors(backbone, {0, 1}), tensors(backbone, {2, 3})
    train(backbone, state)
    assert not moved(before, tensors(backbone, {0, 1}))
    assert moved(rest, tensors(backbone, {2, 3}))


def test_frozen_masking_is_off() -> None:
    backbone, state = speech()
    backbone.freeze({0, 1})
    backbone.train()
    first = backbone.run(state, 0, 2)["x"]
    assert torch.equal(first, backbone.run({**state, "masked": ~state["masked"]}, 0, 2)["x"])
    backbone.freeze(())
    assert not torch.equal(backbone.train().run(state, 0, 2)["x"], first)


def test_freeze_names_exactly_these_stages() -> None:
    backbone = backbones.load("resnet18", "none")
    backbone.freeze({0, 3})
    backbone.freeze({1})
    found = [any(p.requires_grad for p in stage.parameters()) for stage in backbone.stages]
    assert found == [True, False, True, True, True]
    assert [stage.training for stage in backbone.train().stages] == found


def test_the_mask_embedding_trains_only_where_something_is_masked() -> None:
    backbone, state = speech()
    masked = backbone.stages[1].masked
    assert backbone.mask_prob == 0.3 and masked.requires_grad
    backbone.mask_prob = 0.0
    assert not masked.requires_grad
    backbone.freeze(())
    assert not masked.requires_grad
    backbone.mask_prob = 0.2
    assert masked.requires_grad
    backbone.freeze({1})
    assert not masked.requires_grad


def test_every_trained_parameter_gets_a_gradient() -> None:
    backbone, state = speech()
    for probability in (0.0, 0.3):
        backbone.mask_prob = probability
        backbone.zero_grad()
        backbone.train().run(state)["x"].square().mean().backward()
        assert [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("part", ["bias", "norm"])
def test_a_part_trains_and_running_statistics_stay_still(part: str) -> None:
    backbone = backbones.load("resnet18", "none")
    backbone.freeze((0, 1), part)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    train(backbone, {"x": torch.randn(4, 3, 64, 64)})
    after = backbone.state_dict()
    selected = backbone.selected((2, 3, 4), part)
    assert moved(before, after) == set(selected) and selected
    assert all(name.endswith("bias") or (part == "norm" and name.endswith("weight")) for name in selected)
    backbone.freeze((0, 1))
    assert all(parameter.requires_grad for stage in backbone.stages[2:] for parameter in stage.parameters())
