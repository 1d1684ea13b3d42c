"""What a phase keeps beside weights and moments, and what happens around each step of its optimiser."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmtransfer.engine.anchoring import Pull, Start
from mmtransfer.engine.averaging import Average
from mmtransfer.engine.model import Model
from mmtransfer.strategies import Phase

START = "start."
"""Before the names of the head's tensors in a checkpoint, as they were when the phase began."""


class Beside:
    """The weights that the phase started from, their pull, and the average of its weights.

    Args:
        model: in training mode or not, with what trains set, as the phase begins or as a checkpoint has left it.
        phase: whose they are.
        start: the backbone's tensors before all training.
        stored: `tensors` of the checkpoint that the phase goes on from; None or others where it begins.
    """

    def __init__(self, model: Model, phase: Phase, start: Start, stored: Mapping[str, Tensor] | None) -> None:
        head = {f"head.{name}": value for name, value in model.head.state_dict().items()}
        earlier = {name.removeprefix(START): value for name, value in (stored or {}).items() if name.startswith(START)}
        self.head: dict[str, Tensor] = {}
        if phase.mix:
            self.head = {name: value.clone().copy_(earlier.get(name, value)) for name, value in head.items()}
        self.start: Start = {**start, **self.head}
        self.pull = None if phase.anchor is None else Pull(model, phase.anchor, start)
        self.average = None if phase.average is None else Average(model.train(), phase.average)
        if self.average and stored and any(name.startswith("average.") for name in stored):
            self.average.load(stored)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Has the pull added to the gradients before each step, and the average take in the weights behind it."""
        pull, average = self.pull, self.average
        if pull is not None:
            optimizer.register_step_pre_hook(lambda *_: pull.apply())
        if average is not None:
            optimizer.register_step_post_hook(lambda *_: average.update())

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it."""
        start = {f"{START}{name}": value for name, value in self.head.items()}
        return start | (self.average.tensors() if self.average else {})
