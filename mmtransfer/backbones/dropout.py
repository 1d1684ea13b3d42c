"""Dropout on a CPU from a quarter of the random numbers (Srivastava et al. 2014; the same distribution)."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
DRAWN = 4
"""Elements that a random number of 64 bits decides: 16 bits are a share to within a hundred-thousandth."""


class Dropout(nn.Dropout):
    """PyTorch's, which on a CPU draws a number for each element, one after the other: a tenth of a step of MiniLM."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not self.training or not 0 < self.p < 1:
            return super().forward(input)
        return input * kept(input, self.p)


def quick(model: Module) -> Module:
    """The model, with these in the places of PyTorch's."""
    for module in model.modules():
        if type(module) is nn.Dropout and not module.inplace:
            module.__class__ = Dropout
    return model


def kept(values: Tensor, dropout: float) -> Tensor:
    """What dropout multiplies values by, in their shape and dtype: 0, or 1 over the share that is kept."""
    draws = torch.empty(math.ceil(values.numel() / DRAWN), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: values.numel()].view(values.shape)
    return (bits >= round(dropout * 2**16) - 2**15).to(values.dtype).mul_(1 / (1 - dropout))
