"""Losses and their gradients in arithmetic that stays exact where an answer is nearly certain."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtransfer.probe.rows import Rows


def cross_entropy(logits: Tensor, targets: Tensor, labels: bool) -> tuple[Tensor, Tensor]:
    """Each example's loss (rows,), summed over labels, and its gradient to the logits, which are overwritten.

    The true class's gradient, its probability minus one, is taken as minus the sum of the other probabilities, and the
    loss from that sum too: where classes can be told apart, the difference itself is nothing but rounding in float32,
    and a search loses its way at small penalties.
    """
    if labels:
        truth = targets.to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)
        side = 1.0 - 2.0 * truth
        return losses, logits.mul_(side).sigmoid_().mul_(side)
    column = targets[:, None]
    logits -= logits.amax(1, keepdim=True)
    below = logits.gather(1, column)
    residuals = logits.exp_()
    residuals.scatter_(1, column, 0.0)
    others = residuals.sum(1, keepdim=True)
    total = others + below.exp()
    losses = torch.where(below == 0, others.log1p(), total.log() - below)[:, 0]
    residuals /= total
    residuals.scatter_(1, column, -others / total)
    return losses, residuals


def mean_loss(rows: Rows, weight: Tensor, shift: Tensor, exact: bool = False) -> tuple[float, Tensor, Tensor]:
    """Weighted mean loss of weights (outputs, width) and biases (outputs,), its gradient to both.

    Products and sums within a block of examples are in float32, `exact`: in float64; sums of blocks always in float64.
    """
    dtype = torch.float64 if exact else torch.float32
    slope, tilt = torch.zeros_like(weight), torch.zeros_like(shift)
    total = torch.zeros((), dtype=torch.float64, device=weight.device)
    # products with rows of whole vector registers are a tenth faster
    outputs, extra = rows.outputs, -rows.outputs % 8 if rows.outputs > 8 else 0
    single, bias = F.pad(weight.to(dtype), (0, 0, 0, extra)), F.pad(shift.to(dtype), (0, extra))
    for x, y, w in rows.blocks():
        x, w = x.to(dtype), w.to(dtype)
        losses, residuals = cross_entropy(torch.addmm(bias, x, single.T)[:, :outputs], y, rows.kind == "labels")
        residuals *= w[:, None]
        total += (losses * w).sum(dtype=torch.float64)
        slope += (residuals.T @ x).double()
        tilt += residuals.sum(0).double()
    return float(total) / rows.total, slope / rows.total, tilt / rows.total


def uncertainties(rows: Rows, weight: Tensor, shift: Tensor) -> Tensor:
    """The mean of p (1 - p) over outputs of each example, float32 (rows,)."""
    found = []
    for x, _, _ in rows.blocks():
        logits = torch.addmm(shift.float(), x, weight.float().T)
        p = logits.sigmoid_() if rows.kind == "labels" else torch.softmax(logits, 1)
        found.append((p.sum(1) - p.square_().sum(1)).clamp_(min=0) / rows.outputs)
    return torch.cat(found)


def scored(rows: Rows, model: Callable[[Tensor], Tensor], picked: Tensor | None = None) -> tuple[float, float, float]:
    """Count, accuracy (labels: of each label, averaged) and mean loss of a model's outputs, over the examples whose
    `picked` is above 0; None: whose weight is."""
    right = loss = count = 0.0
    start = 0
    for x, y, w in rows.blocks():
        chosen = w > 0 if picked is None else picked[start : start + len(x)] > 0
        start += len(x)
        logits, y = model(x[chosen]), y[chosen]
        if rows.kind == "classes":
            right += float((logits.argmax(1) == y).sum())
        else:
            right += float(((logits > 0) == (y > 0)).float().mean(1).sum())
        losses, _ = cross_entropy(logits, y, rows.kind == "labels")
        loss += float(losses.sum(dtype=torch.float64))
        count += len(y)
    return count, right / max(1.0, count), loss / max(1.0, count)
