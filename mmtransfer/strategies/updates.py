"""Low-rank updates of layers, and the head, by the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmtransfer.errors import MMTransferError
from mmtransfer.strategies.base import last_stages, strategy
from mmtransfer.strategies.phase import Adapters, Loop, Phase, Selection, evenly


@strategy("lora")
@dataclass(frozen=True)
class LoRA:
    """Trains low-rank adapters of the linear layers of attention and MLP, and the head (Hu et al. 2022).

    >>> (phase,) = LoRA(n=2, rank=4).plan(stages=5, lr=1e-4, epochs=3)
    >>> phase.trains
    Selection(stages=(3, 4), part='adapters', adapters=Adapters(rank=4, alpha=16.0, dropout=0.0, dora=False))
    """

    head_only: ClassVar[bool] = False
    dora: ClassVar[bool] = False
    n: int | None = None
    """Stages that get adapters, the last ones; all if None. What is before them is frozen, and computed once."""
    rank: int = 8
    """Of the update of a layer's weight."""
    alpha: float = 16.0
    """The update is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Probability of dropping an input of an adapter in training, at least 0 and below 1."""
    lr_ratio: float = 10.0
    """The rate over that of full fine-tuning."""
    head_lr_ratio: float = 1.0
    """The head's rate over the adapters'."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        if self.rank < 1:
            raise MMTransferError(f"Rank {self.rank} changes nothing", "--strategy.rank", "give 1 or more")
        if not 0 <= self.dropout < 1:
            what = f"A dropout of {self.dropout} is no probability below 1"
            raise MMTransferError(what, "--strategy.dropout", "give 0, or more and below 1")
        n, rate = stages if self.n is None else self.n, lr * self.lr_ratio
        adapters = Adapters(self.rank, self.alpha, self.dropout, self.dora)
        selection = Selection(last_stages(n, stages), "adapters", adapters)
        name = "dora" if self.dora else "lora"
        return [Phase(name, selection, evenly(selection, rate, rate * self.head_lr_ratio), Loop(epochs))]


@strategy("dora")
@dataclass(frozen=True)
class DoRA(LoRA):
    """LoRA that learns the length of each output's weights apart from their direction (Liu et al. 2024).

    >>> (phase,) = DoRA().plan(stages=3, lr=1e-4, epochs=3)
    >>> phase.trains.adapters
    Adapters(rank=8, alpha=16.0, dropout=0.0, dora=True)
    """

    dora: ClassVar[bool] = True
