"""What is trained, and when. A strategy is data: a dataclass of options and a `plan`; the engine reads phases only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.registry import Registry


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one set of trained stages.

    `stages`: numbers of the backbone's trained stages (the head always trains); `lr`: peak rate of those stages;
    `head_lr`: peak rate of the head; `epochs`: passes over the training data.
    """

    name: str
    stages: tuple[int, ...]
    lr: float
    head_lr: float
    epochs: int


class Strategy(Protocol):
    """A frozen dataclass of options that turns (number of stages, rate, epochs) into phases."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        """`stages`: stages of the backbone, stem included; `lr`: rate of full fine-tuning; `epochs`: all phases'."""


STRATEGIES: Registry[type[Any]] = Registry("strategy", "--strategy")


@dataclass(frozen=True)
class LinearProbe:
    """Trains the head on frozen features (Alain & Bengio 2016)."""

    head_lr: float = 1e-2
    """Peak rate of the head."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        return [Phase("probe", (), lr, self.head_lr, epochs)]


@dataclass(frozen=True)
class Partial:
    """Trains the last n stages and the head (Yosinski et al. 2014)."""

    n: int | None = None
    """Stages that train; a quarter of them if None, the stem not counted."""
    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        n = self.n if self.n is not None else max(1, round((stages - 1) / 4))
        if not 0 < n <= stages:
            raise MMTransferError(
                f"The backbone has {stages} stages; {n} of them cannot be trained",
                "--strategy.n",
                f"give 1 to {stages}",
            )
        return [Phase("partial", tuple(range(stages - n, stages)), lr, lr * self.head_lr_ratio, epochs)]


@dataclass(frozen=True)
class Full:
    """Trains everything, from the pretrained weights."""

    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""
    head_epochs: int = 0
    """Epochs, of all, in which only the head is trained before everything is (Baevski et al. 2020 do so for CTC)."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        everything, head_lr = tuple(range(stages)), lr * self.head_lr_ratio
        if not self.head_epochs:
            return [Phase("full", everything, lr, head_lr, epochs)]
        if not 0 < self.head_epochs < epochs:
            raise MMTransferError(
                f"{self.head_epochs} of {epochs} epochs for the head leave none for the rest",
                "--strategy.head-epochs",
                f"give 0 to {epochs - 1}",
            )
        return [
            Phase("head", (), lr, head_lr, self.head_epochs),
            Phase("full", everything, lr, head_lr, epochs - self.head_epochs),
        ]


@dataclass(frozen=True)
class Scratch:
    """Trains everything from random weights: the control that every claim of transfer needs."""

    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        return [Phase("scratch", tuple(range(stages)), lr, lr * self.head_lr_ratio, epochs)]


STRATEGIES.add("linear-probe", LinearProbe)
STRATEGIES.add("partial", Partial)
STRATEGIES.add("full", Full)
STRATEGIES.add("scratch", Scratch)


def make(name: str, options: Mapping[str, Any]) -> Any:
    """The strategy of this name with these options; raises MMTransferError for an option it does not have."""
    kind = STRATEGIES[name]
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known, f"--strategy.{option.replace('_', '-')}")
    return kind(**options)


def name_of(strategy: Any) -> str:
    """The registered name of a strategy object."""
    for name in STRATEGIES:
        if type(strategy) is STRATEGIES[name]:
            return name
    raise unknown("strategy", type(strategy).__name__, STRATEGIES, "strategy=")
