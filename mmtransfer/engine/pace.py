"""What a step of training takes on this machine, measured on a few micro-batches of the very run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from mmtransfer.config import RunConfig
from mmtransfer.data.plan import Plan
from mmtransfer.engine import budget, optim
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.precision import tf32
from mmtransfer.probe.select import SCALES
from mmtransfer.strategies import Exact, Phase

EVALUATIONS = 200
"""Times that the objective of an exact head is computed along a path of penalties, about."""
ROWS = 2048
"""Examples that one of them is measured on."""


@dataclass(frozen=True)
class Pace:
    """Seconds per unit of length (a token, a sample, an image)."""

    frozen: float
    """Encoding, and the stages that are frozen: what stored states save."""
    trained: float
    """Forward and back through the trained stages and the head, and the optimiser."""
    bytes: int
    """That the gradients and the optimiser's moments hold."""

    def epoch(self, units: float, stored: bool) -> float:
        """Seconds of a pass over examples of so many units."""
        return units * (self.trained + (0.0 if stored else self.frozen))


def measure(config: RunConfig, machine: Machine, model: Model, train: Examples, phase: Phase, steps: int = 2) -> Pace:
    """Trains a model, which is good for nothing afterwards, for a few steps of a phase; where the settings leave the
    micro-batches to the device's memory, they are chosen here.

    The first micro-batch is not timed: it pays for choosing kernels and for taking memory.
    """
    model.backbone.freeze(set(range(len(model.backbone.stages))) - set(phase.trains.stages), phase.trains.part)
    if model.task.input.by_device:
        budget.choose(machine, model, train, [phase])
    model = model.starting(phase.trains).train()
    stages = [model.backbone.stages[stage] for stage in phase.trains.stages]
    rated = [*zip(stages, phase.rates.stages, strict=True), (model.head, phase.rates.head)]
    optimizer = optim.optimizer(optim.groups(rated, config.weight_decay), config)
    epoch = Plan(train.lengths, config.batch_size, model.task.input.budget(), config.seed).epoch(0)
    picked = np.linspace(0, len(epoch) - 1, min(steps, len(epoch))).astype(int)
    batches = [epoch.micro_batches(int(picked[0]))[0]]
    batches += [batch for step in picked for batch in epoch.micro_batches(int(step))]
    loaded = iter(train.batches(model.task, [batch.tolist() for batch in batches], 0, False, config.seed, 0))
    frozen = trained = units = 0.0
    for number, numbers in enumerate(batches):
        begun = time.perf_counter()
        batch = next(loaded).to(machine.device)
        with torch.no_grad():
            reached = model.reach(batch.state, train.cut, model.start)
        _wait(machine.device)
        middle = time.perf_counter()
        assert batch.targets is not None  # training data is labelled
        loss = model.task.target.loss(model(reached), batch.targets).mean()
        with tf32(machine.device):
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        _wait(machine.device)
        if number or len(batches) == 1:
            frozen, trained = frozen + middle - begun, trained + time.perf_counter() - middle
            units += float(train.lengths[numbers].sum())
    model.eval()
    moments = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    gradients = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    held = sum(value.numel() * value.element_size() for value in [*moments, *gradients])
    return Pace(frozen / max(1.0, units), trained / max(1.0, units), held)


def solving(model: Model, train: Examples, solver: Exact, machine: Machine) -> float:
    """Seconds that an exact head of these examples takes, about: from the time of a product as large as those of which
    its objective is made."""
    rows = torch.ones(min(len(train), ROWS), model.backbone.width, device=machine.device)
    weights = torch.ones(model.backbone.width, model.task.target.outputs, device=machine.device)
    float((rows @ weights).sum())  # kernels are chosen
    begun = time.perf_counter()
    float((rows @ weights).sum())
    product = (time.perf_counter() - begun) * len(train) / max(1, len(rows))
    return 3 * product * EVALUATIONS * max(1, solver.folds) * (len(SCALES) if solver.prior else 1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
