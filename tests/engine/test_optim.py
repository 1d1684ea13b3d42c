"""Groups and rates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtransfer.config import RunConfig
from mmtransfer.engine import optim


def test_decay_spares_biases_norms_and_embeddings():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    groups = optim.groups([(model, 0.1)], 0.5)
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(model[1].weight), id(model[3].weight)}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_frozen_parameters_are_in_no_group_and_shared_ones_in_one():
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    one.weight.requires_grad_(False)
    groups = optim.groups([(one, 0.1), (other, 0.2), (other, 0.3)], 0.0)
    parameters = [p for group in groups for p in group["params"]]
    assert len(parameters) == 3 and not any(p is one.weight for p in parameters)
    assert {group["peak"] for group in groups} == {0.1, 0.2}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "tri-stage", "constant"])
def test_rates_rise_to_the_peak_and_never_pass_it(schedule):
    rates = [optim.rate(schedule, step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0
    assert max(rates) == 1.0 and min(rates) > 0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] < 0.06 or schedule == "constant"


def test_tri_stage_holds_half_of_the_steps_and_ends_at_a_twentieth():
    assert optim.rate("tri-stage", 49, 100, 0.1) == 1.0
    assert optim.rate("tri-stage", 100, 100, 0.1) == pytest.approx(0.05)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_configuration_reaches_the_optimiser(name, kind):
    config = RunConfig(optimizer=name, momentum=0.8, nesterov=True)
    made = optim.optimizer(optim.groups([(nn.Linear(2, 2), 0.1)], 0.3), config)
    assert isinstance(made, kind) and made.defaults["fused"]
    optim.set_rate(made, 0, 10, "constant", 0.0)
    assert {group["lr"] for group in made.param_groups} == {0.1}
    if name == "sgd":
        assert made.defaults["nesterov"] and made.defaults["momentum"] == 0.8
    else:
        assert made.defaults["betas"][0] == 0.8


def test_a_first_step_that_overflows_leaves_no_momentum(monkeypatch):
    monkeypatch.setattr(torch, "empty_like", lambda value: torch.full_like(value, 7.0))  # memory may hold anything
    weight = nn.Parameter(torch.ones(2))
    made = optim.optimizer(
        [{"params": [weight], "peak": 0.1}], RunConfig(optimizer="sgd", momentum=0.9, precision="fp16")
    )
    scaler = torch.amp.GradScaler("cpu")
    for slope in (float("inf"), 1.0, 1.0):
        scaler.scale(slope * weight.sum()).backward()
        optim.set_rate(made, 0, 10, "constant", 0.0)
        scaler.step(made)
        scaler.update()
        made.zero_grad()
    assert torch.allclose(weight, torch.tensor(1 - 0.1 * (1 + 1.9)))
