"""Logistic regression, multinomial or of one binary problem a label, to the minimum of a convex objective."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mmtransfer.probe.lbfgs import minimise
from mmtransfer.probe.losses import mean_loss, uncertainties
from mmtransfer.probe.rows import Rows

TOLERANCE = 3e-5
"""Bound on how far the objective is above its minimum, over the mean cross-entropy. Of the objective itself 1e-4 is not
enough: where classes can be told apart most of it is the penalty, and starts from zero and from a neighbour differed by
up to 2.5 % in validation loss (made-up data, penalties below 1e-4); so they differ by less than half a per cent."""
RESOLUTION, EXACT_RESOLUTION = 1e-7, 1e-14
"""Of the objective, relative, with products in float32 and in float64."""
EVALUATIONS = 3000
"""Most of one search."""
CERTAINTY = 0.1
"""Mean p (1 - p) at the answer over its value where all outputs are as probable: what the variables are scaled by until
the answer is known better."""


@dataclass(frozen=True)
class Linear:
    """Weights (outputs, width) and biases (outputs,) on the features as they are, float64; the objective's value and
    how often it was computed."""

    weight: Tensor
    bias: Tensor
    value: float = math.nan
    evaluations: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Features (rows, width) -> float32 (rows, outputs)."""
        return torch.addmm(self.bias.float(), x.float(), self.weight.float().T)


def logistic(
    rows: Rows, penalty: float, start: Linear | None = None, prior: Tensor | None = None, tolerance: float = TOLERANCE
) -> Linear:
    """Minimises the weighted mean of the cross-entropies plus penalty / 2 * |W - prior|^2.

    Classes: softmax; labels: the sum over labels of binary problems, which share the penalty. The bias is not
    penalised, and has variables of its own: centring the features does not absorb it. With a prior it is penalised as
    one more feature of the common size, or a class without an example would be pushed away from by its bias alone.

    Args:
        rows: of kind `classes` or `labels`.
        penalty: on the weights of the features as they are; see `select` for one that fits any scale.
        start: where to start from, such as the answer to a neighbouring penalty.
        prior: (outputs, width), what the weights are pulled to; zero if None.
        tolerance: bound on the distance to the minimum in the objective, over the mean cross-entropy.

    The search ends by |gradient|^2 / (2 penalty), a bound on the distance to the minimum of any function that curves at
    least as the penalty does (Boyd & Vandenberghe 2004, 9.9). So the answer does not depend on where it started. Where
    float32 products are too coarse for that, it goes on in float64. When a search has cost what better variables would,
    it gets them: see `_Shape`. Of many more features than examples only the examples' span is searched, which no answer
    leaves.
    """
    centre = torch.zeros(rows.outputs, rows.width, dtype=torch.float64, device=rows.device)
    problem = _Problem(rows, penalty, centre if prior is None else prior.double(), prior is not None, rows.square)
    weights = torch.ones(len(rows), device=rows.device) if rows.weights is None else torch.cat(list(rows.weights))
    counted = weights > 0
    if 2 * int(counted.sum()) > rows.width:
        return _solved(problem, start, tolerance)
    x = torch.cat(list(rows.features))[counted].double() - rows.mean
    basis = torch.linalg.qr(x.T).Q
    inner = replace(rows, features=[(x @ basis).float()], targets=[torch.cat(list(rows.targets))[counted]])
    inner = replace(inner, weights=None if rows.weights is None else [weights[counted]])
    if start is not None:
        start = Linear(start.weight @ basis, start.bias + start.weight @ rows.mean)
    found = _solved(replace(problem, rows=inner, centre=problem.centre @ basis), start, tolerance)
    weight = problem.centre + (found.weight - problem.centre @ basis) @ basis.T
    return replace(found, weight=weight, bias=found.bias - weight @ rows.mean)


def _solved(problem: _Problem, start: Linear | None, tolerance: float) -> Linear:
    rows, shape = problem.rows, problem.first()
    v = torch.zeros(rows.outputs, rows.width + 1, dtype=torch.float64, device=rows.device)
    if start is not None:
        v = shape.packed(start.weight - problem.centre, start.bias)
    # a covariance has the products of width / (2 outputs) evaluations, but in one piece, which is four times as fast
    price = rows.width // (8 * rows.outputs)
    limit, spent, exact = price + 1 if start is not None else max(50, price), 0, False
    while True:
        objective = partial(problem.objective, shape=shape, exact=exact)
        reached = partial(problem.reached, shape=shape, tolerance=tolerance)
        found = minimise(objective, v, reached, EXACT_RESOLUTION if exact else RESOLUTION, limit)
        spent += found.evaluations
        v, limit = found.x, max(100, 2 * price)
        if found.end == "done" or spent >= EVALUATIONS or (exact and found.end == "lost"):
            break
        if found.end == "lost":
            exact = True
        else:
            away, bias = shape.unpacked(v)
            shape = problem.near(away + problem.centre, bias)
            v = shape.packed(away, bias)
    away, bias = shape.unpacked(v)
    return Linear(away + problem.centre, bias, found.value, spent)


@dataclass(frozen=True)
class _Shape:
    """Variables V in which the objective is about as steep in every direction.

    W - prior = V L^-1, L the Cholesky factor of about what the Hessian is; and the biases that features centred by
    `mean` would have, over `scale`.
    """

    factor: Tensor
    mean: Tensor
    scale: float
    pull: Tensor
    """The prior's outputs at `mean`."""

    def unpacked(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Weights less the prior, and biases of the features as they are."""
        away = torch.linalg.solve_triangular(self.factor, v[:, :-1], upper=False, left=False)
        return away, v[:, -1] * self.scale - away @ self.mean - self.pull

    def packed(self, away: Tensor, bias: Tensor) -> Tensor:
        inner = (bias + away @ self.mean + self.pull) / self.scale
        return torch.cat([away @ self.factor, inner[:, None]], 1)


@dataclass(frozen=True)
class _Problem:
    rows: Rows
    penalty: float
    centre: Tensor
    """What the weights are pulled to."""
    pulled: bool
    """Whether the bias is penalised."""
    square: float
    """Mean square of a centred feature, of all there are."""

    @property
    def bias_penalty(self) -> float:
        return self.penalty / self.square if self.pulled else 0.0

    @property
    def evenly(self) -> float:
        """p (1 - p) where all outputs are as probable, times what is left of it at an answer."""
        outputs = self.rows.outputs
        return CERTAINTY * (0.25 if self.rows.kind == "labels" else (outputs - 1) / outputs**2)

    def first(self) -> _Shape:
        """Without knowing the answer: all examples count the same."""
        return self._made(self.evenly * self.rows.covariance, self.rows.mean, self.evenly)

    def near(self, weight: Tensor, bias: Tensor) -> _Shape:
        """Near an answer: examples count as their outputs are uncertain."""
        uncertain = self.rows.weighted(uncertainties(self.rows, weight, bias))
        share = max(uncertain.total / self.rows.total, 1e-12)
        return self._made(share * uncertain.covariance, self.rows.mean if self.pulled else uncertain.mean, share)

    def _made(self, hessian: Tensor, mean: Tensor, share: float) -> _Shape:
        # without the ridge a feature that never varies would make the factor singular at small penalties
        ridge = self.penalty + 1e-7 * share * self.square
        identity = torch.eye(self.rows.width, dtype=torch.float64, device=self.rows.device)
        factor = torch.linalg.cholesky(hessian + ridge * identity)
        return _Shape(factor, mean, (share + self.bias_penalty) ** -0.5, self.centre @ mean)

    def objective(self, v: Tensor, shape: _Shape, exact: bool) -> tuple[float, Tensor]:
        away, bias = shape.unpacked(v)
        value, slope, tilt = mean_loss(self.rows, away + self.centre, bias, exact)
        slope = slope - tilt[:, None] * shape.mean + self.penalty * away
        tilt = tilt + self.bias_penalty * v[:, -1] * shape.scale
        gradient = torch.linalg.solve_triangular(shape.factor.T, slope, upper=True, left=False)
        return value + self._penalties(v, away, shape), torch.cat([gradient, tilt[:, None] * shape.scale], 1)

    def reached(self, v: Tensor, value: float, gradient: Tensor, shape: _Shape, tolerance: float) -> bool:
        slope, tilt = gradient[:, :-1] @ shape.factor.T, gradient[:, -1] / shape.scale
        # biases curve by no penalty, but by about this
        curvature = min(self.penalty / self.square, self.evenly)
        bound = float(slope.square().sum()) / (2 * self.penalty) + float(tilt.square().sum()) / (2 * curvature)
        if bound > tolerance * value:  # which spares the products below
            return False
        return bound <= tolerance * (value - self._penalties(v, shape.unpacked(v)[0], shape))

    def _penalties(self, v: Tensor, away: Tensor, shape: _Shape) -> float:
        inner = v[:, -1] * shape.scale
        return 0.5 * self.penalty * float(away.square().sum()) + 0.5 * self.bias_penalty * float(inner.square().sum())
