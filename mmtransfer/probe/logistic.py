"""Logistic regression, multinomial or of one binary problem a label, to the minimum of a convex objective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtransfer.probe.lbfgs import minimise, norm
from mmtransfer.probe.rows import Rows

RESOLUTION = 1e-9
"""Of the objective, whose products are in float32."""
TOLERANCE = 2e-4
"""Norm of the gradient at the end over its norm at zero weights, in the scaled variables: the objective is then within
1e-4 of its minimum down to penalties of 1e-4; at 1e-3 it is not."""

CERTAINTY = 0.1
"""Mean p (1 - p) at the answer over its value where all outputs are as probable: what the variables are scaled by. At 1
a path takes a tenth (BANKING77, MiniLM) to two fifths (made-up data) more evaluations."""


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
        tolerance: of the gradient's norm, relative.

    L-BFGS in variables V with W = V L^-1, L the Cholesky factor of about what the Hessian is, p (1 - p) * covariance +
    penalty. Sums over blocks of examples are in float64, within them and products in float32.
    """
    outputs, width, device = rows.outputs, rows.width, rows.device
    share = CERTAINTY * (0.25 if rows.kind == "labels" else (outputs - 1) / outputs**2)
    identity = torch.eye(width, dtype=torch.float64, device=device)
    # without the ridge a feature that never varies would make the factor singular at small penalties
    factor = torch.linalg.cholesky(share * rows.covariance + (penalty + 1e-7 * share * rows.square) * identity)
    centre = torch.zeros(outputs, width, dtype=torch.float64, device=device) if prior is None else prior.double()
    bias_penalty = 0.0 if prior is None else penalty / rows.square
    bias_scale = (share + bias_penalty) ** -0.5

    def unpacked(v: Tensor) -> tuple[Tensor, Tensor]:
        weight = torch.linalg.solve_triangular(factor, v[:, :-1], upper=False, left=False)
        return weight + centre, v[:, -1] * bias_scale

    def objective(v: Tensor) -> tuple[float, Tensor]:
        weight, bias = unpacked(v)
        value, slope, tilt = _losses(rows, weight, bias)
        away = weight - centre
        slope = slope - tilt[:, None] * rows.mean + penalty * away
        gradient = torch.linalg.solve_triangular(factor.T, slope, upper=True, left=False)
        bias_gradient = (tilt + bias_penalty * bias) * bias_scale
        value += 0.5 * penalty * float(away.square().sum()) + 0.5 * bias_penalty * float(bias.square().sum())
        return value, torch.cat([gradient, bias_gradient[:, None]], 1)

    v = torch.zeros(outputs, width + 1, dtype=torch.float64, device=device)
    scale = norm(objective, v)
    if start is not None:
        v[:, :-1] = (start.weight - centre) @ factor
        v[:, -1] = (start.bias + start.weight @ rows.mean) / bias_scale
    found = minimise(objective, v, tolerance * scale, RESOLUTION)
    weight, bias = unpacked(found.x)
    return Linear(weight, bias - weight @ rows.mean, found.value, found.evaluations + 1)


def _losses(rows: Rows, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
    """Weighted mean loss at weights on centred features, its gradient to the weights on features as they are, and to
    the biases."""
    slope, tilt = torch.zeros_like(weight), torch.zeros_like(bias)
    total = torch.zeros((), dtype=torch.float64, device=weight.device)
    # products with rows of whole vector registers are a tenth faster
    outputs, extra = rows.outputs, -rows.outputs % 8 if rows.outputs > 8 else 0
    single, shift = F.pad(weight.float(), (0, 0, 0, extra)), F.pad((bias - weight @ rows.mean).float(), (0, extra))
    for x, y, w in rows.blocks():
        logits = torch.addmm(shift, x, single.T)[:, :outputs]
        losses, residuals = cross_entropy(logits, y, rows.kind == "labels")
        residuals *= w[:, None]
        total += (losses * w).sum(dtype=torch.float64)
        slope += (residuals.T @ x).double()
        tilt += residuals.sum(0).double()
    return float(total) / rows.total, slope / rows.total, tilt / rows.total


def cross_entropy(logits: Tensor, targets: Tensor, labels: bool) -> tuple[Tensor, Tensor]:
    """Each example's loss (rows,), summed over labels, and its gradient to the logits, which are overwritten."""
    if labels:
        truth = targets.to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)
        return losses, logits.sigmoid_().sub_(truth)
    logits -= logits.amax(1, keepdim=True)
    picked = logits.gather(1, targets[:, None])[:, 0]
    residuals = logits.exp_()
    total = residuals.sum(1)
    residuals /= total[:, None]
    residuals.scatter_add_(1, targets[:, None], torch.full_like(picked, -1.0)[:, None])
    return total.log() - picked, residuals
