"""What is trained, and when. A strategy is data: a dataclass of options and a `plan`; the engine reads phases only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from mmtransfer import spelling
from mmtransfer.config import check_kind
from mmtransfer.defaults import HEAD_LR_RATIO
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.registry import Registry

Solver = Literal["loop", "exact"]


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one set of trained stages.

    `stages`: numbers of the backbone's trained stages (the head always trains); `lr`: peak rate of those stages;
    `head_lr`: peak rate of the head; `epochs`: passes over the training data; `solver`: `loop` trains, `exact`
    finds the head as the answer to a convex problem, without epochs; of the exact solver, `folds`: choose its penalty
    by so many folds instead of validation data; `prior`: pull the weights to encoded class names; `refit`: end with a
    head that has seen the validation data too; `layers`: the stage that its features are taken behind, or several, the
    best on validation data is taken; the last if empty.
    """

    name: str
    stages: tuple[int, ...]
    lr: float
    head_lr: float
    epochs: int
    solver: Solver = "loop"
    folds: int = 0
    prior: bool = False
    refit: bool = True
    layers: tuple[int, ...] = ()


class Strategy(Protocol):
    """A frozen dataclass of options that turns (number of stages, rate, epochs) into phases."""

    head_only: ClassVar[bool]
    """Whether nothing but the head is ever trained."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        """`stages`: stages of the backbone, stem included; `lr`: rate of full fine-tuning; `epochs`: all phases'."""


LAYERS = 4
"""Stages that `layer auto` tries."""
STRATEGIES: Registry[type[Any]] = Registry("strategy", "--strategy")
PROBE_LR = 1e-2
"""Peak rate of a head that the loop trains on frozen features."""


def _unread(option: str, solver: Solver) -> MMTransferError:
    return MMTransferError(
        f"Only the solver {solver} reads it",
        f"--strategy.{option}",
        f"leave it out, or give --strategy.solver {solver}",
    )


def _ratio(given: float | None) -> float:
    """The head's rate over the backbone's; where no task has resolved it, that of a classifier."""
    return HEAD_LR_RATIO if given is None else given


@dataclass(frozen=True)
class LinearProbe:
    """Fits the head to frozen features (Alain & Bengio 2016)."""

    head_only: ClassVar[bool] = True
    solver: Solver | None = None
    """exact: the answer to a convex problem; loop: epochs of steps; exact where the task has one, if None."""
    head_lr: float = PROBE_LR
    """Peak rate of the head; of the loop."""
    folds: int | None = None
    """Choose the exact solver's penalty by so many folds of the training data and need no validation data; 0: by
    validation data; 5 with a prior, else 0, if None."""
    prior: Literal["none", "names"] = "none"
    """names: the exact solver's weights are pulled to the encoded class names, which helps where examples are few."""
    layer: int | Literal["last", "auto"] = "last"
    """Stage whose output the exact solver's features are: its number, from 1; auto: of four, spread evenly, the one
    whose head is best on validation data."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        solver = self.solver or "loop"
        if solver == "exact" and self.head_lr != PROBE_LR:
            raise _unread("head-lr", "loop")
        if solver == "loop" and self.folds is not None:
            raise _unread("folds", "exact")
        if solver == "loop" and self.prior != "none":
            raise _unread("prior", "exact")
        if solver == "loop" and self.layer != "last":
            raise _unread("layer", "exact")
        names = self.prior == "names"
        folds = self.folds if self.folds is not None else 5 if names else 0
        if folds < 0 or folds == 1:
            raise MMTransferError(f"{folds} folds leave nothing to learn from", "--strategy.folds", "give 2 or more")
        epochs, layers = epochs if solver == "loop" else 0, self._layers(stages)
        return [Phase("probe", (), lr, self.head_lr, epochs, solver, folds, names, layers=layers)]

    def _layers(self, stages: int) -> tuple[int, ...]:
        if self.layer == "last":
            return ()
        if self.layer == "auto":
            return tuple(sorted({math.ceil(stages * part / LAYERS) for part in range(1, LAYERS + 1)}))
        if not isinstance(self.layer, int) or not 1 <= self.layer <= stages:
            raise MMTransferError(
                f"The backbone has {stages} stages; {self.layer!r} is none of them",
                "--strategy.layer",
                f"give 1 to {stages}, last or auto",
            )
        return (self.layer,)


@dataclass(frozen=True)
class Partial:
    """Trains the last n stages and the head (Yosinski et al. 2014)."""

    head_only: ClassVar[bool] = False
    n: int | None = None
    """Stages that train; a quarter of them if None, the stem not counted."""
    head_lr_ratio: float | None = None
    """The head's rate over the backbone's; 10, or 1 for CTC and `--train builtin`, if None."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        n = self.n if self.n is not None else max(1, round((stages - 1) / 4))
        if not 0 < n <= stages:
            raise MMTransferError(
                f"The backbone has {stages} stages; {n} of them cannot be trained",
                "--strategy.n",
                f"give 1 to {stages}",
            )
        return [Phase("partial", tuple(range(stages - n, stages)), lr, lr * _ratio(self.head_lr_ratio), epochs)]


@dataclass(frozen=True)
class Full:
    """Trains everything, from the pretrained weights."""

    head_only: ClassVar[bool] = False
    head_lr_ratio: float | None = None
    """The head's rate over the backbone's; 10, or 1 for CTC and `--train builtin`, if None."""
    head_epochs: int = 0
    """Epochs, of all, in which only the head is trained before everything is (Baevski et al. 2020 do so for CTC)."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        everything, head_lr = tuple(range(stages)), lr * _ratio(self.head_lr_ratio)
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
class ProbeThenFull:
    """Fits the head first, then trains everything from there (Kumar et al. 2022).

    The gradients of a random head distort the features before the head has learnt to use them. Kumar et al. halve the
    rate; here that cost three points of accuracy on SST-2 and gained nothing elsewhere (benchmarks/lp_ft.md).
    """

    head_only: ClassVar[bool] = False
    lr_ratio: float = 1.0
    """The second phase's rate over that of full fine-tuning."""
    head_lr_ratio: float = 5.0
    """The head's rate over the backbone's, in the second phase."""
    solver: Solver | None = None
    """How the head is fitted first; exact where the task has an exact solver, if None."""
    head_epochs: int | None = None
    """Epochs, of all, in which the loop trains the head first; a quarter if None."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        solver = self.solver or "loop"
        if solver == "exact" and self.head_epochs is not None:
            raise _unread("head-epochs", "loop")
        first = 0 if solver == "exact" else self.head_epochs or max(1, epochs // 4)
        if first >= epochs:
            raise MMTransferError(
                f"{first} of {epochs} epochs for the head leave none for the rest",
                "--strategy.head-epochs",
                "give fewer, or more --epochs",
            )
        rate = lr * self.lr_ratio
        return [
            # the validation data chooses the second phase's epoch: the first phase's head must not have seen it
            Phase("probe", (), lr, PROBE_LR, first, solver, refit=False),
            Phase("full", tuple(range(stages)), rate, rate * self.head_lr_ratio, epochs - first),
        ]


@dataclass(frozen=True)
class Scratch:
    """Trains everything from random weights: the control that every claim of transfer needs."""

    head_only: ClassVar[bool] = False
    head_lr_ratio: float = 1.0
    """The head's rate over the backbone's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        return [Phase("scratch", tuple(range(stages)), lr, lr * self.head_lr_ratio, epochs)]


RATES = ("head_lr", "head_lr_ratio", "lr_ratio")
"""Options that are rates or multiples of them."""
STRATEGIES.add("linear-probe", LinearProbe)
STRATEGIES.add("partial", Partial)
STRATEGIES.add("full", Full)
STRATEGIES.add("lp-ft", ProbeThenFull)
STRATEGIES.add("scratch", Scratch)
for name in STRATEGIES:
    spelling.learn(STRATEGIES[name], name)


def make(name: str, options: Mapping[str, Any]) -> Any:
    """The strategy of this name with these options; raises MMTransferError for an option it does not have."""
    kind = STRATEGIES[name]
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known, f"--strategy.{option.replace('_', '-')}")
        check_kind(kind, option, options[option], f"--strategy.{option.replace('_', '-')}", "the strategy's options")
    made = kind(**options)
    for option in known:
        value = getattr(made, option)
        if option in RATES and value is not None and not value > 0:
            spelled = f"--strategy.{option.replace('_', '-')}"
            raise MMTransferError(f"{spelled} must be more than 0, not {options[option]}", spelled, "change the value")
    return made


def name_of(strategy: Any) -> str:
    """The registered name of a strategy object."""
    for name in STRATEGIES:
        if type(strategy) is STRATEGIES[name]:
            return name
    raise unknown("strategy", type(strategy).__name__, STRATEGIES, "strategy=")
