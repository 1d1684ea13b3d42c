"""WiSE-FT: weights between those of the start and those of the end of a phase, chosen on validation data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice

import torch
from torch import nn

from mmtransfer.data.plan import Plan
from mmtransfer.engine import processes
from mmtransfer.engine.anchoring import Start
from mmtransfer.engine.buffers import Buffers
from mmtransfer.engine.evaluation import evaluate, in_parts
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.stopping import Stopped, agreed
from mmtransfer.engine.training import Training
from mmtransfer.tasks.base import Batch

logger = logging.getLogger("mmtransfer")

MICRO_BATCHES = 100
"""The most of which running statistics are computed anew."""


def choose(training: Training, model: Model, splits: Splits, start: Start, shares: Sequence[float]) -> None:
    """Leaves in the model the best mix of its weights with those of `start`, and says in the phase's entry which.

    `shares`: of the model's own weights, beside 1, which is always tried. The validation value decides, of equal ones
    the loss; a tie keeps the larger share. Raises Stopped after a signal, with the model's own weights; stops trying
    when time is up.
    """
    accelerator, entry = training.machine.accelerator, training.state.phases[training.state.phase]
    own = {name: value.clone() for name, value in model.state_dict().items() if name in start}
    best, value = measure(training, model, splits)
    values, chosen = {1.0: value}, 1.0
    for share in sorted(shares, reverse=True):
        if agreed(accelerator, training.stop.interrupted):
            mix(model, start, own, 1.0)
            raise Stopped(True)
        if agreed(accelerator, training.stop.is_due(training.state)):
            break
        _settle(training, model, splits, start, own, share)
        score, values[share] = measure(training, model, splits)
        if score > best:
            best, chosen = score, share
    _settle(training, model, splits, start, own, chosen)
    entry["mix"] = {"share": chosen, "values": [list(pair) for pair in sorted(values.items())]}
    entry["best"] = {**entry["best"], "value": values[chosen]}
    logger.info("mixed with the start: %.0f %% of the trained weights are best on validation data", 100 * chosen)


def _settle(training: Training, model: Model, splits: Splits, start: Start, own: Start, share: float) -> None:
    mix(model, start, own, share)
    if 0.0 < share < 1.0:
        renew_statistics(model, splits.train, training.machine, training.config.batch_size)


def measure(training: Training, model: Model, splits: Splits) -> tuple[tuple[float, float], float | None]:
    """What is to be as large as possible, the validation value before the loss; and the value."""
    target = model.task.target
    assert splits.validation is not None  # only exact phases do without
    records = target.tune(evaluate(model, splits.validation, training.machine, "mixing"))
    value = target.values(records)[target.primary]
    loss = sum(records["loss"]) / max(1, len(records["loss"]))
    return (0.0 if value is None else value if target.higher_is_better else -value, -loss), value


@torch.no_grad()
def mix(model: Model, one: Start, other: Start, share: float) -> None:
    """Sets the tensors that both name to (1 - share) of `one` and `share` of `other`; counters are the other's."""
    tensors = model.state_dict()
    for name, value in other.items():
        if value.is_floating_point() and share < 1.0:
            tensors[name].copy_(torch.lerp(one[name], value, share))
        else:
            tensors[name].copy_(value)


@torch.no_grad()
def renew_statistics(model: Model, examples: Examples, machine: Machine, batch_size: int) -> None:
    """Computes the running statistics of BatchNorm anew, as the mean over at most MICRO_BATCHES micro-batches of
    training examples without augmentation: those of mixed weights are no mix (Izmailov et al. 2018, 3.2).

    Each process computes the same; where the memory of one does not hold a batch, its halves count as one each, and the
    statistics of the main process are everybody's.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a mean in which every micro-batch weighs the same
    model.eval()
    for layer in layers:
        layer.train()
    plan = Plan(examples.lengths, batch_size, model.task.input.budget(), 0).epoch(0)
    batches = list(islice(plan.batches(0, 0, 1), MICRO_BATCHES))
    load = examples.batches(model.task, batches, machine.workers.count, machine.device.type == "cuda")
    moving = Buffers(buffer for layer in layers for buffer in layer.buffers())

    def renew(part: Batch) -> None:
        moving.keep()
        try:
            model(model.reach(part.to(machine.device).state, examples.cut, model.start))
        except torch.OutOfMemoryError:
            moving.restore()  # the layers before the one that failed have taken it in
            raise

    for indices, batch in zip(batches, load, strict=True):
        in_parts(model, machine, batch, int(examples.lengths[indices].max()), renew)
    processes.broadcast(machine.accelerator, (buffer for layer in layers for buffer in layer.buffers()))
    for layer, momentum in zip(layers, before, strict=True):
        layer.momentum = momentum
    model.eval()
