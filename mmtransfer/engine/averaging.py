"""A running mean of the weights, which is often better than the last ones and smoother from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mmtransfer.engine.model import Model

PREFIX = "average."
"""Before the names of its tensors in a checkpoint."""


class Average:
    """The exponential moving average of what a phase trains, running statistics included (Polyak & Juditsky 1992).

    The share of the past is min(decay, (1 + steps) / (10 + steps)), so that the first weights are soon forgotten. Each
    process keeps its own, of weights that are equal on all.

    Args:
        model: in training mode, with what trains set.
        decay: share of the past, 0 to 1.
    """

    def __init__(self, model: Model, decay: float) -> None:
        moving = (
            (f"{place}.{name}", buffer)
            for place, module in model.named_modules()
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_floating_point()
        )
        trained = ((name, value) for name, value in model.named_parameters() if value.requires_grad)
        self.decay, self.steps = decay, 0
        self.live: dict[str, Tensor] = {name: value.detach() for name, value in (*trained, *moving)}
        self.mean = {name: value.clone() for name, value in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights of one more step."""
        self.steps += 1
        share = 1.0 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_([*self.mean.values()], [*self.live.values()], share)

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs, for a checkpoint."""
        return {f"{PREFIX}{name}": value for name, value in self.mean.items()} | {f"{PREFIX}steps": self._count()}

    def _count(self) -> Tensor:
        return torch.tensor(self.steps)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave; other tensors are left alone."""
        self.steps = int(tensors[f"{PREFIX}steps"])
        for name, value in self.mean.items():
            value.copy_(tensors[f"{PREFIX}{name}"])


@contextmanager
@torch.no_grad()
def applied(average: Average | None) -> Iterator[None]:
    """The model has the averaged weights inside, and its own again behind; None changes nothing."""
    if average is None:
        yield
        return
    live, mean = [*average.live.values()], [*average.mean.values()]
    own = [value.clone() for value in live]
    torch._foreach_copy_(live, mean)
    try:
        yield
    finally:
        torch._foreach_copy_(live, own)
