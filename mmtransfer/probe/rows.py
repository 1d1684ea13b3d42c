"""Features and targets as the solvers see them: in blocks of rows, weighted, never copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["classes", "labels", "values"]
"""Targets of one class each, of any number of labels, of real numbers."""
BLOCK = 2**22
"""Most numbers of a block: of its features or of its outputs."""
ROUNDING = 1e-5
"""Of features, relative to their mean: the same input in another batch differs by about 1e-7."""


@dataclass(frozen=True)
class Rows:
    """Examples.

    Args:
        features: matrices (rows, width) of any floating dtype; several, so that training and validation data are one
            problem without a copy.
        targets: for each matrix, (rows,) class numbers, (rows, labels) of 0 and 1, or (rows,) or (rows, values).
        kind: which of the three.
        outputs: number of classes, labels or values.
        weights: for each matrix, (rows,) weights of the examples; all 1 if None. A weight of 0 leaves an example out.
    """

    features: Sequence[Tensor]
    targets: Sequence[Tensor]
    kind: Kind
    outputs: int
    weights: Sequence[Tensor] | None = field(default=None)

    def __len__(self) -> int:
        return sum(len(part) for part in self.features)

    def __add__(self, other: Rows) -> Rows:
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = [*self._weights(), *other._weights()]
        return replace(
            self,
            features=[*self.features, *other.features],
            targets=[*self.targets, *other.targets],
            weights=weights,
        )

    @property
    def width(self) -> int:
        return int(self.features[0].shape[1])

    @property
    def device(self) -> torch.device:
        return self.features[0].device

    def weighted(self, weights: Tensor) -> Rows:
        """With each example's weight multiplied by `weights` (n,), in the order of the parts."""
        parts = torch.split(weights, [len(part) for part in self.features])
        return replace(self, weights=[own * part for own, part in zip(self._weights(), parts, strict=True)])

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(features float32, targets, weights float32) of some rows at a time."""
        size = max(1, BLOCK // max(self.width, self.outputs))
        for x, y, w in zip(self.features, self.targets, self._weights(), strict=True):
            for start in range(0, len(x), size):
                stop = start + size
                yield x[start:stop].float(), y[start:stop], w[start:stop]

    @cached_property
    def total(self) -> float:
        """Sum of the weights."""
        return float(sum(weight.sum(dtype=torch.float64) for weight in self._weights()))

    @cached_property
    def mean(self) -> Tensor:
        """Weighted mean of the features, float64 (width,)."""
        mean = torch.zeros(self.width, dtype=torch.float64, device=self.device)
        for x, _, w in self.blocks():
            mean += w.double() @ x.double()
        return mean / max(self.total, 1e-300)

    @cached_property
    def covariance(self) -> Tensor:
        """Weighted mean of the products of the centred features, float64 (width, width), from float32 products."""
        covariance = torch.zeros(self.width, self.width, dtype=torch.float64, device=self.device)
        mean = self.mean.float()
        for x, _, w in self.blocks():
            centred = x - mean
            covariance += (centred.T @ (centred * w[:, None])).double()
        return covariance / max(self.total, 1e-300)

    @cached_property
    def square(self) -> float:
        """Mean square of a centred feature: the one scale that all features are measured by.

        Features that differ by no more than rounding are measured by their mean, or a head would be fitted to that.
        """
        square = torch.zeros((), dtype=torch.float64, device=self.device)
        mean = self.mean.float()
        for x, _, w in self.blocks():
            square += ((x - mean).square().sum(1) * w).sum(dtype=torch.float64)
        size, varying = float(self.mean.square().mean()), float(square) / max(self.total, 1e-300) / self.width
        return max(varying if varying > ROUNDING**2 * size else size, 1e-30)

    def _weights(self) -> list[Tensor]:
        if self.weights is not None:
            return list(self.weights)
        return [torch.ones(len(part), device=part.device) for part in self.features]
