"""Mixtures of two pictures with their answers, in training: mixup and CutMix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from mmtransfer.tasks.base import Encoded


@dataclass(frozen=True)
class Mixture:
    """How an example is mixed with a partner.

    A pure function of the example's own number, which is of (seed, epoch, id), so that neither the cut of a step nor
    who else is in it changes the picture. Batches usually mix with themselves turned round, for which partners cost
    nothing; here each is read a second time.

    Args:
        mixup: both parameters of the Beta distribution of the share; the whole pictures are added (Zhang et al. 2018).
        cutmix: the same for a rectangle of the partner with the rest's share of the area (Yun et al. 2019). 0: not
            used; of both, each takes every other example.
    """

    mixup: float
    cutmix: float

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def __call__(self, one: Encoded, partner: Callable[[int], Encoded], count: int, seed: int) -> Encoded:
        """`one` mixed; `partner`: an example by its number, of `count`. Targets are float, and mixed by the share."""
        assert one.target is not None  # training data are labelled
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed])))
        other, cuts = partner(int(random.integers(count))), random.random() < 0.5
        assert other.target is not None
        cuts = self.cutmix > 0 and (cuts or self.mixup <= 0)
        alpha = self.cutmix if cuts else self.mixup
        share = float(random.beta(alpha, alpha))
        if cuts:
            x = one.x.clone()
            side = x.shape[-1]
            length = round(side * (1.0 - share) ** 0.5)
            top, left = (int(place) for place in random.integers(0, side - length + 1, 2))
            box = (..., slice(top, top + length), slice(left, left + length))
            x[box] = other.x[box]
            share = 1.0 - length**2 / side**2
        else:
            # to half a level: pixels stay bytes on their way to the device
            x = torch.lerp(other.x.float(), one.x.float(), share).round().to(one.x.dtype)
        return replace(one, x=x, target=torch.lerp(other.target, one.target, share))
