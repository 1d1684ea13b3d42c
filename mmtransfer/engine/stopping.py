"""What ends training before its time: a signal, the time budget, or a number of steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mmtransfer.engine.state import TrainState

if TYPE_CHECKING:
    from accelerate import Accelerator


class Stopped(Exception):
    """Training was `interrupted`, by a signal or a pause, or its budget is spent; the state stands at a whole step."""

    def __init__(self, interrupted: bool) -> None:
        super().__init__("interrupted" if interrupted else "the budget is spent")
        self.interrupted = interrupted


@dataclass(frozen=True)
class Stop:
    """When to stop; never, if nothing is said."""

    signals: Sequence[int] = ()
    """Those that have been received; more come in while training goes on."""
    deadline: float = float("inf")
    """Time since the epoch, in seconds, by which all is to be done, evaluation and saving included."""
    coming: int = 0
    """Examples that are scored after training."""
    last: float = float("inf")
    """Optimiser steps of all phases after which training ends, with the best validated model so far."""
    pause: float = float("inf")
    """Optimiser steps of all phases after which training stops with a checkpoint, to be gone on with."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal has asked to stop."""
        return len(self.signals) > 0

    def pauses(self, state: TrainState) -> bool:
        """Whether training stops here, to be gone on with."""
        return self.interrupted or state.steps_done >= self.pause

    def has_ended(self, state: TrainState) -> bool:
        """Whether the last step has been done."""
        return state.steps_done >= self.last

    def is_due(self, state: TrainState) -> bool:
        """Whether the last step has been done, or the budget leaves no more time than scoring needs, at the speed of
        training."""
        scoring = self.coming * state.seconds / max(1, state.examples)
        return self.has_ended(state) or time.time() + scoring > self.deadline


def agreed(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process says so; every process must ask."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum") > 0)
