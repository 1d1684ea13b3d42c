"""Long convolutions in training on a CPU by Fourier transforms (overlap-save; Cooley and Tukey 1965 for the transform).

PyTorch's kernels are slow for many taps in small groups, the convolutional positions of speech encoders: forward and
back by transforms takes a third to a fifth as long (benchmarks/convolution.md). Passes that train nothing are left to
PyTorch: what they give is the library's to the bit, and of one recording the weights' transforms would be most.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

PIECE = 2
"""Outputs of a transform over taps: more would waste less of each, but the weights' transforms would be longer."""


def suits(x: Tensor, conv: nn.Conv1d) -> bool:
    """Whether a pass of x through `conv` is faster by transforms: one on a CPU that trains the weights."""
    trains = torch.is_grad_enabled() and all(parameter.requires_grad for parameter in conv.parameters())
    return x.device.type == "cpu" and trains


def convolve(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """What `conv` gives for x (batch, channels, positions), in its dtype; computed in float32 at least.

    Without stride and dilation, padded by zeros.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    padded = nn.functional.pad(x.to(wide), (cast(int, conv.padding[0]),) * 2)
    found: Tensor = _Convolution.apply(padded, conv.weight.to(wide), conv.groups)
    return (found if conv.bias is None else found + conv.bias[:, None]).to(x.dtype)


class _Convolution(torch.autograd.Function):
    """x (batch, channels, positions), padded already, with weights (channels out, channels of a group, taps)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        outputs, taps = x.shape[2] - weight.shape[2] + 1, weight.shape[2]
        pieces = -(-outputs // (PIECE * taps))
        size = _smooth(-(-outputs // pieces) + taps - 1)
        step = size - taps + 1
        pieces = -(-outputs // step)
        x = nn.functional.pad(x, (0, pieces * step + taps - 1 - x.shape[2]))
        waves = _grouped(torch.fft.rfft(x.unfold(2, size, step)), groups)
        filters = torch.fft.rfft(weight, size).unflatten(0, (groups, -1)).permute(0, 3, 1, 2).flatten(0, 1)
        found = torch.fft.irfft(_apart(torch.bmm(waves, filters.mH), groups, pieces), size)[..., :step]
        ctx.save_for_backward(waves, filters)
        ctx.sizes = groups, taps, pieces, size, step
        return found.flatten(2)[..., :outputs]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        waves, filters = ctx.saved_tensors
        groups, taps, pieces, size, step = ctx.sizes
        outputs = gradient.shape[2]
        gradient = nn.functional.pad(gradient, (0, pieces * step - outputs)).unflatten(2, (pieces, step))
        found = _grouped(torch.fft.rfft(gradient, size), groups)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            pulled = torch.fft.irfft(_apart(torch.bmm(found, filters), groups, pieces), size)
            of_x = pulled.new_zeros(*pulled.shape[:2], pieces * step + taps - 1)
            for piece in range(pieces):  # each reaches into the next
                of_x[:, :, piece * step : piece * step + size] += pulled[:, :, piece]
            of_x = of_x[..., : outputs + taps - 1]
        if ctx.needs_input_grad[1]:
            products = torch.bmm(found.mH, waves).unflatten(0, (groups, -1)).permute(0, 2, 3, 1)
            of_weight = torch.fft.irfft(products, size)[..., :taps].flatten(0, 1)
        return of_x, of_weight, None


def _grouped(waves: Tensor, groups: int) -> Tensor:
    """(batch, channels, pieces, frequencies) -> (groups * frequencies, batch * pieces, channels of a group)."""
    return waves.unflatten(1, (groups, -1)).permute(1, 4, 0, 3, 2).flatten(2, 3).flatten(0, 1)


def _apart(waves: Tensor, groups: int, pieces: int) -> Tensor:
    """The way back of `_grouped`."""
    return waves.unflatten(1, (-1, pieces)).unflatten(0, (groups, -1)).permute(2, 0, 4, 3, 1).flatten(1, 2)


def _smooth(size: int) -> int:
    """The smallest even number from `size` on without a prime factor above 5, for which a transform is fast."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and size % 2 == 0:
            return size
        size += 1
