"""The head alone on frozen features, and everything from there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from mmtransfer.errors import MMTransferError
from mmtransfer.strategies.base import spelled, strategy
from mmtransfer.strategies.phase import Exact, Loop, Phase, Rates, Selection, evenly

Solver = Literal["loop", "exact"]
LAYERS = 4
"""Stages that `layer auto` tries."""
PROBE_LR = 1e-2
"""Peak rate of a head that the loop trains on frozen features."""


def _unread(option: str, solver: Solver) -> MMTransferError:
    return MMTransferError(
        f"Only the solver {solver} reads it",
        spelled(option),
        f"leave it out, or give --strategy.solver {solver}",
    )


@strategy("linear-probe")
@dataclass(frozen=True)
class LinearProbe:
    """Fits the head to frozen features (Alain & Bengio 2016).

    >>> (phase,) = LinearProbe(solver="exact", folds=5, layer=3).plan(stages=5, lr=1e-4, epochs=3)
    >>> phase.trains.stages, phase.solver
    ((), Exact(folds=5, prior=False, refit=True, layers=(3,)))
    """

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
            raise _unread("head_lr", "loop")
        if solver == "loop" and self.folds is not None:
            raise _unread("folds", "exact")
        if solver == "loop" and self.prior != "none":
            raise _unread("prior", "exact")
        if solver == "loop" and self.layer != "last":
            raise _unread("layer", "exact")
        names, layers = self.prior == "names", self._layers(stages)
        folds = self.folds if self.folds is not None else 5 if names else 0
        if folds < 0 or folds == 1:
            raise MMTransferError(f"{folds} folds leave nothing to learn from", "--strategy.folds", "give 2 or more")
        fitted = Loop(epochs) if solver == "loop" else Exact(folds, names, layers=layers)
        return [Phase("probe", Selection(), Rates((), self.head_lr), fitted)]

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


@strategy("lp-ft")
@dataclass(frozen=True)
class ProbeThenFull:
    """Fits the head first, then trains everything from there (Kumar et al. 2022).

    The gradients of a random head distort the features before the head has learnt to use them. Kumar et al. halve the
    rate; here that cost three points of accuracy on SST-2 and gained nothing elsewhere (benchmarks/lp_ft.md).

    >>> [(phase.name, phase.epochs) for phase in ProbeThenFull(solver="exact").plan(stages=3, lr=1e-4, epochs=4)]
    [('probe', 0), ('full', 4)]
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
            raise _unread("head_epochs", "loop")
        first = max(1, epochs // 4) if self.head_epochs is None else self.head_epochs
        if solver == "loop" and not 0 < first < epochs:
            raise MMTransferError(
                f"{first} of {epochs} epochs for the head leave none for it, or none for the rest",
                "--strategy.head-epochs",
                f"give 1 to {epochs - 1}" if epochs > 1 else "give more --epochs",
            )
        first = 0 if solver == "exact" else first
        rate, everything = lr * self.lr_ratio, Selection(tuple(range(stages)))
        # the validation data chooses the second phase's epoch: the first phase's head must not have seen it
        fitted = Loop(first) if solver == "loop" else Exact(refit=False)
        return [
            Phase("probe", Selection(), Rates((), PROBE_LR), fitted),
            Phase("full", everything, evenly(everything, rate, rate * self.head_lr_ratio), Loop(epochs - first)),
        ]
