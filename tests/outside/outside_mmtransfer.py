"""A small package that adds a backbone, a strategy and a target to mmtransfer, by entry points alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import backbones, strategies
from mmtransfer.backbones import Backbone
from mmtransfer.strategies import Loop, Phase, Rates, Selection
from mmtransfer.tasks.targets import Regression


def edges() -> Backbone:
    """A network for pictures, with the weights that it comes with: here drawn by a seed of its own."""
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        net = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 12, 3, 2), nn.ReLU())
    return backbones.wrap(net, "image", image_size=32)


@dataclass(frozen=True)
class HeadThenAll:
    """Trains the head for an epoch, then everything."""

    head_only: ClassVar[bool] = False
    share: float = 0.1
    """The backbone's rate over the head's."""

    def plan(self, stages: int, lr: float, epochs: int) -> list[Phase]:
        everything = Selection(tuple(range(stages)))
        rates = Rates((lr * self.share,) * stages, lr)
        return [
            Phase("head", strategies.Selection(), Rates((), lr), Loop(1)),
            Phase("all", everything, rates, Loop(max(1, epochs - 1))),
        ]


class Robust(Regression):
    """Numbers by Huber's loss, which a few wrong ones move less."""

    name = "robust"
    problem = None

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        logits = outputs["logits"].squeeze(-1)
        return F.huber_loss(logits, targets.to(logits), reduction="none")
