"""Ridge regression for a whole path of penalties, each with its exact leave-one-out error, from one decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtransfer.probe.logistic import Linear
from mmtransfer.probe.rows import Rows


@dataclass(frozen=True)
class RidgePath:
    """Answers by penalty. `errors`: leave-one-out residuals (penalties, n, outputs), float64, in the order of the
    examples: what each target was off by for a model that had not seen it."""

    penalties: tuple[float, ...]
    models: tuple[Linear, ...]
    errors: Tensor

    @property
    def losses(self) -> list[float]:
        """Mean squared leave-one-out residual of each penalty, summed over outputs."""
        return [float(error.square().sum(1).mean()) for error in self.errors]


def ridge(rows: Rows, penalties: Sequence[float]) -> RidgePath:
    """Minimises |Y - b - X W|^2 / n + penalty * |W|^2 for each penalty; the bias b is free.

    Residuals with example i left out are e_i / (1 - 1/n - h_ii) (Allen 1974; Hastie et al. 2009, 7.10), h the hat
    matrix of the centred features; 1/n is the bias's share of it. One eigendecomposition, of whichever Gram matrix is
    smaller, float64; two passes over blocks of rows. Targets of kind `classes` are taken as one-hot rows; weights are
    not read.
    """
    n, width = len(rows), rows.width
    targets = torch.cat([targets_of(y, rows) for _, y, _ in rows.blocks()])
    mean = targets.mean(0)
    centred = targets - mean
    solve = _primal if width <= n else _dual
    weights, errors = solve(rows, centred, [penalty * n for penalty in penalties])
    models = tuple(Linear(weight, mean - weight @ rows.mean) for weight in weights)
    return RidgePath(tuple(penalties), models, errors)


def targets_of(y: Tensor, rows: Rows) -> Tensor:
    """Targets as real numbers, float64 (rows, outputs)."""
    if rows.kind == "classes":
        return torch.nn.functional.one_hot(y, rows.outputs).double()
    return y.double().reshape(len(y), -1)


_Found = tuple[list[Tensor], Tensor]
"""For each penalty weights (outputs, width), and leave-one-out residuals (penalties, n, outputs)."""


def _left_out(residuals: Tensor, leverage: Tensor, n: int) -> Tensor:
    """Residuals with each example left out, of those (rows, outputs) with all `n` in, and the hat matrix's diagonal."""
    # an example that alone decides its own answer leaves 0 / 0
    return residuals / (1.0 - 1.0 / n - leverage).clamp(min=1e-12)[:, None]


def _primal(rows: Rows, y: Tensor, penalties: list[float]) -> _Found:
    """From X'X = Q diag(m) Q'."""
    width = rows.width
    gram = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    cross = torch.zeros(width, y.shape[1], dtype=torch.float64, device=rows.device)
    start = 0
    for x, _, _ in rows.blocks():
        centred = x.double() - rows.mean
        gram += centred.T @ centred
        cross += centred.T @ y[start : start + len(x)]
        start += len(x)
    values, vectors = torch.linalg.eigh(gram)
    values, cross = values.clamp(min=0), vectors.T @ cross
    shrunk = [cross / (values + penalty)[:, None] for penalty in penalties]
    errors = torch.empty(len(penalties), *y.shape, dtype=torch.float64, device=rows.device)
    start = 0
    for x, _, _ in rows.blocks():
        rotated, stop = (x.double() - rows.mean) @ vectors, start + len(x)
        squared = rotated.square()
        for error, weight, penalty in zip(errors, shrunk, penalties, strict=True):
            leverage = squared @ (1.0 / (values + penalty))
            error[start:stop] = _left_out(y[start:stop] - rotated @ weight, leverage, len(y))
        start = stop
    return [(vectors @ weight).T for weight in shrunk], errors


def _dual(rows: Rows, y: Tensor, penalties: list[float]) -> _Found:
    """From X X' = U diag(m) U', where there are fewer examples than features."""
    x = torch.cat([block.double() for block, _, _ in rows.blocks()]) - rows.mean
    values, vectors = torch.linalg.eigh(x @ x.T)
    values, rotated = values.clamp(min=0), vectors.T @ y
    weights, errors = list[Tensor](), list[Tensor]()
    for penalty in penalties:
        inverse = 1.0 / (values + penalty)
        dual = vectors @ (inverse[:, None] * rotated)
        weights.append((x.T @ dual).T)
        errors.append(_left_out(penalty * dual, 1.0 - penalty * (vectors.square() @ inverse), len(y)))
    return weights, torch.stack(errors)
