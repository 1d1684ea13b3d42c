"""What a phase gives its checkpoints, weights, moments and what stands beside them, and what it takes back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor

from mmtransfer.engine import processes
from mmtransfer.engine.beside import Beside
from mmtransfer.engine.model import Model
from mmtransfer.engine.training import Training


def checkpoint(
    training: Training,
    model: Model,
    kept: Collection[str],
    optimizer: AcceleratedOptimizer | None,
    beside: Beside | None = None,
    is_best: bool = False,
) -> None:
    """Begins to write a checkpoint; `is_best`: whether the weights have just been kept as the best."""
    if not training.machine.is_main:
        return
    state = training.state
    moments = {
        f"{number}.{name}": value
        for number, moment in (optimizer.state_dict()["state"] if optimizer else {}).items()
        for name, value in moment.items()
        if isinstance(value, Tensor)
    }
    moments |= beside.tensors() if beside else {}
    with training.clock.part("checkpoint"):
        state.spent = training.clock.spent()
        training.scaler.keep(state)
        training.saver.save(state.state_dict(), model.tensors(kept), moments, is_best)


def restore_moments(optimizer: AcceleratedOptimizer, tensors: dict[str, Tensor]) -> None:
    """Gives an optimiser the moments of a checkpoint, as `checkpoint` named them."""
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        if number.isdecimal():  # else it is what stands beside the optimiser
            moments.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(parameters):  # in the layout of the weights, which the file does not keep
        for name, value in moments.get(place, {}).items():
            if value.shape == parameter.shape:
                moments[place][name] = torch.empty_like(parameter).copy_(value)
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def load_best(training: Training, model: Model, kept: Collection[str]) -> None:
    """Puts the best validated weights so far, if there are any, into the model; `kept`: the backbone's among them."""
    name, accelerator = training.state.best, training.machine.accelerator
    if name is None:
        return
    processes.together(accelerator, lambda: model.load_tensors(training.saver.best(name)))
    processes.broadcast(accelerator, model.tensors(kept).values())
