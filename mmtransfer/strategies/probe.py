"""The head alone on frozen features, and everything from there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from mmtransfer.errors import MMTransferError
from mmtransfer.strategies.base import spelled, strategy
from mmtransfer.strategies.phase import Exact, Loop, Phase, Rates, Selection, decaying

Solver = Literal["loop", "exact"]
LAYERS = 4
"""Stages that `layer auto` tries."""
FOLDS = 5
"""Folds that choose a penalty, if nothing else is asked for."""
FEW = 5000
"""Up to so many examples folds do so: they choose better than a tenth of few examples (benchmarks/probe_choice.md). Of
more, a tenth is hundreds of examples, and each fold a path of its own."""
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
    ((), Exact(folds=5, few=None, prior=False, refit=True, layers=(3,)))
    """

    head_only: ClassVar[bool] = True
    solver: Solver | None = None
    """exact: the answer to a convex problem; loop: epochs of steps; exact where the task has one, if None."""
    head_lr: float = PROBE_LR
    """Peak rate of the head; of the loop."""
    folds: int | None = None
    """Choose the exact solver's penalty by so many folds of the training data and need no validation data; 0: by
    validation data; if None 5 with a prior, or where no validation data is given and there are few examples, else 0."""
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
        folds = FOLDS if self.folds is None else self.folds
        if folds < 0 or folds == 1:
            raise MMTransferError(f"{folds} folds leave nothing to learn from", "--strategy.folds", "give 2 or more")
        few = FEW if self.folds is None and not names else None
        fitted = Loop(epochs) if solver == "loop" else Exact(folds, few, names, layers=layers)
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
    decay: float = 1.0
    """The rate of a stage over that of the stage behind it in the second phase, more than 0, at most 1."""

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
        fitted = Loop(first) if solver == "loop" else Exact(FOLDS, FEW, refit=False)
        rates = decaying(everything, rate, rate * self.head_lr_ratio, self.decay)
        return [
            Phase("probe", Selection(), Rates((), PROBE_LR), fitted),
            Phase("full", everything, rates, Loop(epochs - first)),
        ]


@strategy("wise-ft")
@dataclass(frozen=True)
class ProbeThenMix(ProbeThenFull):
    """lp-ft, then the best mix of its weights with those behind the probe (WiSE-FT, Wortsman et al. 2022).

    A mix keeps more of what the backbone could do on other data than that of training.

    >>> ProbeThenMix(solver="exact", mixes=4).plan(stages=3, lr=1e-4, epochs=4)[-1].mix
    (0.0, 0.25, 0.5, 0.75)
    """

    mixes: int = 10
    """Shares of the trained weights that validation data are asked about, evenly from 0, beside all of them."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        if self.mixes < 1:
            raise MMTransferError(f"{self.mixes} mixes leave nothing to choose", "--strategy.mixes", "give 1 or more")
        *first, last = super().plan(stages, lr, epochs)
        return [*first, replace(last, mix=tuple(number / self.mixes for number in range(self.mixes)))]
