"""Dropout from few random numbers: PyTorch's distribution, its gradient, and its place in the networks."""

from __future__ import annotations

import pytest
import tiny
import torch
from tiny_runs import begin
from torch import nn

from mmtransfer import backbones
from mmtransfer.backbones import dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_leaves_its_share_and_keeps_the_mean(share):
    values = torch.ones(7, 5, 99, 33, dtype=torch.float64)
    torch.manual_seed(0)
    kept = dropout.kept(values, share)
    assert kept.unique().tolist() == [0.0, pytest.approx(1 / (1 - share))]
    assert float((kept == 0).double().mean()) == pytest.approx(share, abs=0.005)
    assert all(
        float((kept[..., place] == 0).double().mean()) == pytest.approx(share, abs=0.04) for place in range(33)
    ), "each of the elements that share a number"
    torch.manual_seed(0)
    assert torch.equal(dropout.kept(values, share), kept), "a function of the seed"
    assert not torch.equal(dropout.kept(values, share), kept)


def test_what_is_dropped_has_no_gradient():
    layer = dropout.quick(nn.Sequential(nn.Dropout(0.25)))[0]
    x = torch.randn(40, 30).requires_grad_()
    found = layer(x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert type(layer) is dropout.Dropout and isinstance(layer, nn.Dropout)
    assert torch.equal(gradient == 0, found == 0) and (found == 0).any()
    assert torch.allclose(found, x * gradient)
    assert gradient.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_nothing_is_pytorchs(share):
    x = torch.randn(4, 3)
    assert torch.equal(dropout.quick(nn.Dropout(share))(x), x * (1 - share))


def test_outside_of_training_nothing_is_dropped():
    x = torch.randn(4, 3)
    assert torch.equal(dropout.quick(nn.Dropout(0.5)).eval()(x), x)


def test_a_network_that_is_loaded_has_it(tmp_path):
    modules = backbones.load(str(tiny.bert(tmp_path / "bert", "abc", weights=True))).modules()
    found = [type(module) for module in modules if isinstance(module, nn.Dropout)]
    assert found and set(found) == {dropout.Dropout}


@pytest.mark.parametrize("family", ["bert", "gpt2", "vit", "wav2vec2"])
def test_networks_of_every_kind_have_it(family, tmp_path):
    modules = begin(family, "full", tmp_path).model.backbone.modules()
    found = [module for module in modules if isinstance(module, nn.Dropout)]
    assert found and all(type(module) is dropout.Dropout for module in found)
