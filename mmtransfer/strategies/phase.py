"""What a strategy is made of: a stretch of training, as data. The engine reads phases only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Part = Literal["all", "bias", "norm"]
"""What of a trained stage trains: everything; its biases; weights and biases of its normalisation layers."""


@dataclass(frozen=True)
class Selection:
    """What trains beside the head, which always does."""

    stages: tuple[int, ...] = ()
    """Numbers of the backbone's stages."""
    part: Part = "all"
    """What of them. Stages are in training mode, dropout included; where only a part of them trains, running statistics
    of normalisation stay still all the same."""


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
    prior: bool = False
    """Pull the weights to encoded class names."""
    refit: bool = True
    """End with a head that has seen the validation data too."""
    layers: tuple[int, ...] = ()
    """The stage that the features are taken behind, or several: the best on validation data is taken; the last if
    empty."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training."""

    name: str
    trains: Selection
    rates: Rates
    solver: Loop | Exact = field(default_factory=Exact)

    @property
    def epochs(self) -> int:
        """Passes over the training data; 0 where the head is found exactly."""
        return self.solver.epochs if isinstance(self.solver, Loop) else 0


def evenly(selection: Selection, rate: float, head: float) -> Rates:
    """One rate for all stages, and the head's."""
    return Rates((rate,) * len(selection.stages), head)


def stages_of(phases: Sequence[Phase]) -> list[int]:
    """The stages that any phase trains, wholly or in part."""
    return sorted({stage for phase in phases for stage in phase.trains.stages})
