"""The weights that a phase starts from, and a pull back to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmtransfer.engine.model import Model
from mmtransfer.strategies import Anchor, Phase

Start = Mapping[str, Tensor]
"""Tensors by their names in a `Model`."""


def start_of(model: Model, phases: Sequence[Phase]) -> dict[str, Tensor]:
    """Copies of the backbone's tensors, before any training, that some phase returns to; empty where none does.

    A run that goes on loads the same backbone again, so no checkpoint holds them.
    """
    returning = [phase for phase in phases if phase.anchor is not None or phase.mix]
    names = model.trained(returning)
    state = model.backbone.state_dict()
    return {f"backbone.{name}": state[name].clone() for name in names}


class Pull:
    """The gradient of L2-SP's penalty: start / 2 of the squared distance to the start, head / 2 of the head's squared
    norm (Li et al. 2018).

    It is added to the gradient behind the clipping, as torch adds SGD's weight decay, and AdamW scales the sum.
    """

    def __init__(self, model: Model, anchor: Anchor, start: Start) -> None:
        trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        self.body = [(value, start[name]) for name, value in trained if name in start]
        self.head = [value for name, value in trained if name.startswith("head.")]
        self.weights = (anchor.start, anchor.head)

    @torch.no_grad()
    def apply(self) -> None:
        """Adds it to the gradients that are there."""
        body = [(value.grad, value, start) for value, start in self.body if value.grad is not None]
        head = [(value.grad, value) for value in self.head if value.grad is not None]
        if body:
            gradients, weights, starts = zip(*body, strict=True)
            torch._foreach_add_(gradients, torch._foreach_sub(weights, starts), alpha=self.weights[0])
        if head:
            gradients, weights = zip(*head, strict=True)
            torch._foreach_add_(gradients, weights, alpha=self.weights[1])
