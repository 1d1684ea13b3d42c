"""Stages of the backbone and the head by the loop: all of them, the last ones, parts of them, from random weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from mmtransfer.defaults import HEAD_LR_RATIO
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies.base import last_stages, spelled, strategy
from mmtransfer.strategies.phase import Anchor, Loop, Part, Phase, Rates, Selection, decaying, evenly


def _ratio(given: float | None) -> float:
    """The head's rate over the backbone's; where no task has resolved it, that of a classifier."""
    return HEAD_LR_RATIO if given is None else given


@strategy("partial")
@dataclass(frozen=True)
class Partial:
    """Trains the last n stages and the head (Yosinski et al. 2014).

    >>> (phase,) = Partial(n=2).plan(stages=5, lr=1e-4, epochs=3)
    >>> phase.trains.stages, phase.rates.head, phase.solver
    ((3, 4), 0.001, Loop(epochs=3))
    """

    head_only: ClassVar[bool] = False
    n: int | None = None
    """Stages that train; a quarter of them if None, the stem not counted."""
    head_lr_ratio: float | None = None
    """The head's rate over the backbone's; 10, or 1 for CTC and `--train builtin`, if None."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        n = self.n if self.n is not None else max(1, round((stages - 1) / 4))
        selection = Selection(last_stages(n, stages))
        return [Phase("partial", selection, evenly(selection, lr, lr * _ratio(self.head_lr_ratio)), Loop(epochs))]


@strategy("full")
@dataclass(frozen=True)
class Full:
    """Trains everything, from the pretrained weights.

    >>> [(phase.trains.stages, phase.epochs) for phase in Full(head_epochs=1).plan(stages=3, lr=1e-4, epochs=4)]
    [((), 1), ((0, 1, 2), 3)]
    """

    head_only: ClassVar[bool] = False
    head_lr_ratio: float | None = None
    """The head's rate over the backbone's; 10, or 1 for CTC and `--train builtin`, if None."""
    head_epochs: int = 0
    """Epochs, of all, in which only the head is trained before everything is (Baevski et al. 2020 do so for CTC)."""
    decay: float = 1.0
    """The rate of a stage over that of the stage behind it, 0 to 1: earlier stages, which are more general, move less
    (Howard & Ruder 2018; Clark et al. 2020 take 0.8 for 12 layers)."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        everything, head_lr = Selection(tuple(range(stages))), lr * _ratio(self.head_lr_ratio)
        rates = decaying(everything, lr, head_lr, self.decay)
        if not self.head_epochs:
            return [Phase("full", everything, rates, Loop(epochs))]
        if not 0 < self.head_epochs < epochs:
            raise MMTransferError(
                f"{self.head_epochs} of {epochs} epochs for the head leave none for the rest",
                "--strategy.head-epochs",
                f"give 0 to {epochs - 1}",
            )
        return [
            Phase("head", Selection(), Rates((), head_lr), Loop(self.head_epochs)),
            Phase("full", everything, rates, Loop(epochs - self.head_epochs)),
        ]


@strategy("l2-sp")
@dataclass(frozen=True)
class L2SP:
    """Trains everything and pulls it back to the pretrained weights, in place of weight decay (Li et al. 2018).

    >>> (phase,) = L2SP(start=0.1).plan(stages=3, lr=1e-4, epochs=4)
    >>> phase.trains.stages, phase.anchor
    ((0, 1, 2), Anchor(start=0.1, head=0.01))
    """

    head_only: ClassVar[bool] = False
    start: float = 0.01
    """Penalty of half the squared distance of the backbone from its start, 0 or more."""
    head: float = 0.01
    """Penalty of half the squared norm of the head, 0 or more."""
    head_lr_ratio: float | None = None
    """The head's rate over the backbone's; 10, or 1 for CTC and `--train builtin`, if None."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        for name, value in (("start", self.start), ("head", self.head)):
            if value < 0:
                raise MMTransferError(f"A pull of {value} pushes", spelled(name), "give 0 or more")
        (phase,) = Full(self.head_lr_ratio).plan(stages, lr, epochs)
        return [replace(phase, anchor=Anchor(self.start, self.head))]


@strategy("gradual")
@dataclass(frozen=True)
class Gradual:
    """Thaws the backbone from its end, one more stage a phase (Howard & Ruder 2018).

    Each phase takes an epoch, and the last one, in which everything trains, what is left. Where there are fewer epochs
    than stages, several thaw at once.

    >>> [(phase.trains.stages, phase.epochs) for phase in Gradual().plan(stages=3, lr=1e-4, epochs=5)]
    [((2,), 1), ((1, 2), 1), ((0, 1, 2), 3)]
    """

    head_only: ClassVar[bool] = False
    decay: float = 1 / 2.6
    """The rate of a stage over that of the stage behind it, more than 0, at most 1."""
    head_lr_ratio: float | None = None
    """The head's rate over the last stage's; 10, or 1 for CTC and `--train builtin`, if None."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        count, head_lr = min(stages, epochs), lr * _ratio(self.head_lr_ratio)
        result = []
        for number in range(1, count + 1):
            thawed = Selection(last_stages(math.ceil(stages * number / count), stages))
            solver = Loop(epochs - count + 1 if number == count else 1)
            name = f"last-{len(thawed.stages)}"
            result.append(Phase(name, thawed, decaying(thawed, lr, head_lr, self.decay), solver))
        return result


@strategy("scratch")
@dataclass(frozen=True)
class Scratch:
    """Trains everything from random weights: the control that every claim of transfer needs.

    >>> (phase,) = Scratch().plan(stages=3, lr=1e-4, epochs=4)
    >>> phase.rates
    Rates(stages=(0.0001, 0.0001, 0.0001), head=0.0001)
    """

    head_only: ClassVar[bool] = False
    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        everything = Selection(tuple(range(stages)))
        return [Phase("scratch", everything, evenly(everything, lr, lr * self.head_lr_ratio), Loop(epochs))]


@dataclass(frozen=True)
class _Part:
    """A part of the last n stages, and the head."""

    head_only: ClassVar[bool] = False
    part: ClassVar[Part]
    n: int | None = None
    """Stages of which it trains; all if None. What is before them is frozen, and computed once."""
    lr_ratio: float = 10.0
    """The rate over that of full fine-tuning: few parameters move, and each has to move further."""
    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        n, rate = stages if self.n is None else self.n, lr * self.lr_ratio
        selection = Selection(last_stages(n, stages), self.part)
        return [Phase(self.part, selection, evenly(selection, rate, rate * self.head_lr_ratio), Loop(epochs))]


@strategy("bitfit")
@dataclass(frozen=True)
class BitFit(_Part):
    """Trains the biases and the head (Ben Zaken et al. 2022).

    >>> (phase,) = BitFit(n=2).plan(stages=5, lr=1e-4, epochs=3)
    >>> phase.trains.stages, phase.trains.part
    ((3, 4), 'bias')
    """

    part: ClassVar[Part] = "bias"


@strategy("norm")
@dataclass(frozen=True)
class Norm(_Part):
    """Trains scales and shifts of the normalisation layers, and the head (Frankle et al. 2021).

    >>> (phase,) = Norm().plan(stages=3, lr=1e-4, epochs=3)
    >>> phase.trains
    Selection(stages=(0, 1, 2), part='norm', adapters=None)
    """

    part: ClassVar[Part] = "norm"
