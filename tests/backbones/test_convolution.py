"""Long convolutions by Fourier transforms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtransfer.backbones import convolution


@pytest.mark.parametrize(
    ("channels", "groups", "taps", "positions"),
    [(32, 4, 64, 50), (32, 4, 64, 301), (24, 2, 7, 1000), (16, 16, 128, 1), (8, 1, 1, 9)],
)
def test_outputs_and_gradients_are_those_of_the_convolution(channels, groups, taps, positions):
    torch.manual_seed(0)
    conv = nn.Conv1d(channels, channels, taps, padding=taps // 2, groups=groups)
    x = torch.randn(3, channels, positions, requires_grad=True)
    expected = conv(x)
    gradient = torch.randn_like(expected)
    inputs = [x, conv.weight, conv.bias]
    wanted = [expected, *torch.autograd.grad(expected, inputs, gradient)]
    found = convolution.convolve(x, conv)
    for one, other in zip([found, *torch.autograd.grad(found, inputs, gradient)], wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max()))


def test_it_has_no_bias_where_the_convolution_has_none_and_keeps_the_dtype():
    conv, x = nn.Conv1d(4, 4, 9, padding=4, groups=2, bias=False), torch.randn(2, 4, 30)
    torch.testing.assert_close(convolution.convolve(x, conv), conv(x), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolution.convolve(x.bfloat16(), conv)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), conv(x.bfloat16().float()), rtol=1e-2, atol=1e-2)


def test_it_suits_passes_that_train_the_weights():
    conv, x = nn.Conv1d(4, 4, 9), torch.randn(2, 4, 30)
    assert convolution.suits(x, conv)
    with torch.no_grad():
        assert not convolution.suits(x, conv), "a forward pass alone"
    assert not convolution.suits(x, conv.requires_grad_(False)), "frozen"
    assert not convolution.suits(x.to("meta"), conv.requires_grad_()), "no CPU"


@pytest.mark.parametrize("size", [1, 64, 97, 211, 1000])
def test_transforms_have_sizes_without_large_primes(size):
    found = convolution._smooth(size)
    assert found >= size and found % 2 == 0
    assert not any(found % prime == 0 for prime in (7, 11, 13, 17, 19, 23)) and found < 1.3 * size + 2
