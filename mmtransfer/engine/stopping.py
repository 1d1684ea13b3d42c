"""What ends training before its time: a signal, or the time budget."""

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
    """A signal (`interrupted`) or the time budget ended training; the state stands at a whole step."""

    def __init__(self, interrupted: bool) -> None:
        super().__init__("interrupted" if interrupted else "out of time")
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

    @property
    def interrupted(self) -> bool:
        """Whether a signal has asked to stop."""
        return len(self.signals) > 0

    def is_due(self, state: TrainState) -> bool:
        """Whether the budget leaves no more time than scoring needs, at the speed of training."""
        return time.time() + self.coming * state.seconds / max(1, state.examples) > self.deadline


def agreed(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process says so; every process must ask."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), "sum") > 0)
