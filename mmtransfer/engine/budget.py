"""How much a micro-batch holds: by the memory of a GPU, where the settings leave it open, before the first step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from mmtransfer.engine import memory, passes, shortage
from mmtransfer.engine.buffers import Buffers
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.precision import tf32
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import Loop, Phase

logger = logging.getLogger("mmtransfer")

SHARE = 0.6
"""Of free memory, what a micro-batch may take: the rest is for what two small ones do not show, such as the workspaces
of convolutions, fragments, and graphs of several sizes."""
RECORDED = 0.4
"""The same where passes may be recorded: recordings hold as much as a micro-batch, beside one that runs as it is."""
WHOLE = 0.9
"""The same where batch normalisation wants a step in one piece; if it was too much, the step is cut then."""
COUNTS = (2, 8)
"""Examples of the two passes that are measured: batch normalisation has no statistics of one."""
STATES = 2
"""Numbers that an optimiser keeps for each one it trains: AdamW's moments."""
PASS = {"cpu": 2, "cuda": 4}
"""By device, how many times a micro-batch is a batch of a pass without gradient, which keeps no activations."""


class Memory(Protocol):
    """What measuring asks of a device: `memory.DeviceMemory`."""

    def free(self) -> int: ...

    def start(self) -> None: ...

    def taken(self) -> int: ...

    def held(self) -> int: ...


def of_pass(model: Model, machine: Machine) -> int:
    """The budget of a pass without gradient, in the unit of the lengths."""
    return PASS.get(machine.device.type, 2) * model.task.input.budget()


def choose(
    machine: Machine,
    model: Model,
    train: Examples,
    plan: Sequence[Phase],
    device: Memory | None = None,
) -> None:
    """Puts into the task's settings the budget that the device's free memory allows; on a CPU it is fixed.

    Two passes over the longest examples are measured, in the present precision, of the phase that trains most, and two
    without gradient; what they take is extended on a line. All processes take the least that one of them found.
    Weights, running statistics and random numbers are afterwards as they were. Raises MMTransferError where one example
    is too much.

    Args:
        machine, model, train, plan: of the run.
        device: its memory; that of the machine's device if None.
    """
    device, own = device or memory.of(machine.device), model.task.input
    if device is None or not len(train):
        return
    work, whole, found = Work.of(machine, model, train, plan), bool(normalising(model, plan)), list[Any]()
    recorded = work.looped and not passes.refusal(own.config, machine, model.backbone)
    share = WHOLE if whole else RECORDED if recorded else SHARE
    # a step that must not be cut is not cut for the sake of passes, which can be
    works = [work] if whole or not work.looped else [work, replace(work, looped=False)]
    try:
        found.append(min(_measured(each, device, share) for each in works))
    except MMTransferError as error:  # the others are told, before they wait
        found.append(error)
    if machine.processes > 1:
        from accelerate.utils import gather_object

        found = gather_object(found)
    for result in found:
        if isinstance(result, MMTransferError):
            raise result
    own.allow(min(found))
    logger.info("micro-batches of at most %d units, by the device's free memory", own.budget())


def normalising(model: Model, plan: Sequence[Phase]) -> list[str]:
    """Names of the batch normalisations that are trained, and so see what a micro-batch holds."""
    trained = {stage for phase in plan if isinstance(phase.solver, Loop) for stage in phase.trains.stages}
    return [
        f"{stage}.{name}"
        for stage in sorted(trained)
        for name, module in model.backbone.stages[stage].named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]


def _measured(work: Work, device: Memory, share: float) -> int:
    """The budget: at least the longest example, at most what is worth having."""
    own, longest = work.model.task.input, int(work.lengths[work.order[0]])
    most, taken = max(longest, own.most()), dict[int, int]()
    for count in sorted({min(count, len(work.order)) for count in COUNTS}):
        try:
            if not taken:
                work.run(count)  # the first pass makes what stays: handles and workspaces of libraries
            device.start()
            before = device.held()
            work.run(count)
            taken[count] = device.taken() - before
        except torch.OutOfMemoryError:
            break
        finally:
            torch.cuda.empty_cache()
    if not taken:
        work.refuse_one()
        return longest
    small, large = min(taken), max(taken)
    if small == large:  # there is no more, or more was too much
        return most if small == len(work.order) else small * longest
    each = (taken[large] - taken[small]) / (large - small)
    left = share * device.free() - work.states - (taken[small] - small * each)
    if not work.looped:
        each *= PASS["cuda"]
    return most if each <= 0 else min(most, longest * max(1, int(left / each)))


@dataclass(frozen=True)
class Work:
    """Passes over the longest examples, through what is trained and back, or without gradient where nothing is."""

    machine: Machine
    model: Model
    """Starting before what is trained."""
    examples: Examples
    looped: bool
    """Whether a loop trains anything."""
    order: np.ndarray
    """The examples' numbers, the longest first."""

    @classmethod
    def of(cls, machine: Machine, model: Model, train: Examples, plan: Sequence[Phase]) -> Work:
        looped = [phase for phase in plan if isinstance(phase.solver, Loop)]
        order = np.argsort(-train.lengths.astype(np.int64), kind="stable")
        if looped:
            phase = max(looped, key=lambda phase: (len(phase.trains.stages), phase.epochs))
            model.backbone.freeze(set(range(len(model.backbone.stages))) - set(phase.trains.stages), phase.trains.part)
            model = model.starting(phase.trains)
        return cls(machine, model, train, bool(looped), order)

    @property
    def lengths(self) -> np.ndarray:
        return self.examples.lengths

    @property
    def states(self) -> int:
        """Bytes that an optimiser will keep, and what several processes reduce gradients in."""
        if not self.looped:
            return 0
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return (STATES + (self.machine.processes > 1)) * sum(p.numel() * p.element_size() for p in trained)

    def run(self, count: int, first: int = 0) -> None:
        """A pass over so many examples, from the `first` of `order` on; nothing but memory is seen of it."""
        model, device = self.model, self.machine.device
        numbers = self.order[first : first + count].tolist()
        statistics = Buffers(model.buffers())
        statistics.keep()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            model.train(self.looped)
            try:
                batch = next(iter(self.examples.batches(model.task, [numbers], 0, False, 0))).to(device)
                with torch.no_grad():
                    reached = model.reach(batch.state, self.examples.cut, model.start)
                if self.looped:
                    assert batch.targets is not None  # training data are labelled
                    loss = model.task.target.loss(model(reached), batch.targets).mean()
                    with tf32(device):
                        loss.backward()
                else:
                    with torch.no_grad():
                        model.reach(reached, model.start, model.end)
            finally:
                model.zero_grad(set_to_none=True)
                statistics.restore()
                model.eval()

    def refuse_one(self) -> None:
        """Raises MMTransferError where the longest example is too much alone."""
        try:
            self.run(1)
        except torch.OutOfMemoryError as error:
            shown = error.with_traceback(None)  # which holds on to what was computed
        else:
            return
        raise self.refusal(shown, int(self.lengths[self.order[0]]))

    def refusal(self, error: torch.OutOfMemoryError, length: int) -> MMTransferError:
        """What to say where one example of this length is too much; the longest that is not is tried out."""
        torch.cuda.empty_cache()
        own, fits = self.model.task.input, self._longest_that_fits()
        return shortage.refusal(error, own, length, self.model.precision, self.looped, fits)

    def _longest_that_fits(self) -> int | None:
        """The length of the longest example that goes through alone, by halving; None where none shorter does."""
        lengths, firsts = np.unique(-self.lengths[self.order], return_index=True)  # from the longest on
        too_long, fitting = 0, len(lengths)
        while fitting - too_long > 1:
            middle = (too_long + fitting) // 2
            try:
                self.run(1, int(firsts[middle]))
                fitting = middle
            except torch.OutOfMemoryError:
                too_long = middle
            torch.cuda.empty_cache()
        return -int(lengths[fitting]) if fitting < len(lengths) else None
