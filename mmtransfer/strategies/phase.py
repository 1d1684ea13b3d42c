"""What a strategy is made of: a stretch of training, as data. The engine reads phases only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Part = Literal["all", "bias", "norm", "adapters"]
"""What of a trained stage trains: everything; its biases; weights and biases of its normalisation layers; the low-rank
adapters of its linear layers."""


@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters, as `backbones.adapters.Adapter` takes them."""

    rank: int
    alpha: float
    dropout: float = 0.0
    dora: bool = False


@dataclass(frozen=True)
class Selection:
    """What trains beside the head, which always does."""

    stages: tuple[int, ...] = ()
    """Numbers of the backbone's stages."""
    part: Part = "all"
    """What of them. Stages are in training mode, dropout included; where only a part of them trains, running statistics
    of normalisation stay still all the same."""
    adapters: Adapters | None = None
    """Those that are put in before training, where part is `adapters`, and folded into the weights after it."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates."""

    stages: tuple[float, ...]
    """Of each stage of the selection."""
    head: float


@dataclass(frozen=True)
class Loop:
    """Trains by steps."""

    epochs: int
    """Passes over the training data."""


@dataclass(frozen=True)
class Exact:
    """Finds the head as the answer to a convex problem, without epochs."""

    folds: int = 0
    """Choose its penalty by so many folds; 0: by validation data."""
    few: int | None = None
    """Up to so many examples folds do so, unless there are validation data for the head; None: of any number."""
    prior: bool = False
    """Pull the weights to encoded class names."""
    refit: bool = True
    """End with a head that has seen the validation data too."""
    layers: tuple[int, ...] = ()
    """The stage that the features are taken behind, or several: the best on validation data is taken; the last if
    empty."""

    def few_enough(self, n: int) -> bool:
        """Whether folds choose the penalty of `n` examples, where there are no validation data for the head."""
        return self.folds > 0 and (self.few is None or n <= self.few)

    def settled(self, n: int, validated: bool) -> Exact:
        """The same, with it decided whether they do; `validated`: whether there are validation data."""
        if self.few is None or not validated or (not self.refit and self.few_enough(n)):
            return replace(self, few=None)
        return replace(self, folds=0, few=None)


@dataclass(frozen=True)
class Anchor:
    """L2-SP's penalty (Li et al. 2018), beside the loss that is told; in place of weight decay."""

    start: float
    """Of half the squared distance of the backbone from where it started."""
    head: float
    """Of half the squared norm of the head."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training. All that follows the solver is of the loop."""

    name: str
    trains: Selection
    rates: Rates
    solver: Loop | Exact = field(default_factory=Exact)
    average: float | None = None
    """Validate and keep an exponential moving average of the weights, with this share of the past; None: the last."""
    anchor: Anchor | None = None
    """A pull to the start; None: weight decay."""
    joined: int = 0
    """Epochs, the last ones, that train on the validation data as well: nothing is chosen by them then."""
    mix: tuple[float, ...] = ()
    """End with a mix of the weights with those of the start: the best of these shares, or all of the trained ones."""

    @property
    def epochs(self) -> int:
        """Passes over the training data; 0 where the head is found exactly."""
        return self.solver.epochs if isinstance(self.solver, Loop) else 0


def evenly(selection: Selection, rate: float, head: float) -> Rates:
    """One rate for all stages, and the head's."""
    return decaying(selection, rate, head, 1.0)


def decaying(selection: Selection, rate: float, head: float, decay: float) -> Rates:
    """The last stage's rate, `decay` of it for the stage before, and so on downwards (Howard & Ruder 2018)."""
    last = max(selection.stages, default=0)
    return Rates(tuple(rate * decay ** (last - stage) for stage in selection.stages), head)


def stages_of(phases: Sequence[Phase]) -> list[int]:
    """The stages that any phase trains, wholly or in part."""
    return sorted({stage for phase in phases for stage in phase.trains.stages})
