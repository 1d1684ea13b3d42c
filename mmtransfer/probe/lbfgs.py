"""L-BFGS with a strong Wolfe line search (Nocedal & Wright 2006, algorithms 7.4, 3.5 and 3.6), in float64."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Objective = Callable[[Tensor], tuple[float, Tensor]]
"""Variables (any shape, float64) -> value and gradient."""

DECREASE, CURVATURE = 1e-4, 0.9
"""The two Wolfe constants that Nocedal & Wright give for quasi-Newton methods."""
HISTORY = 12
TRIALS = 20
"""Most evaluations of one line search."""


End = Literal["done", "lost", "evaluations"]
"""The caller was satisfied; no step decreases the function by more than its rounding; as many as were allowed."""


@dataclass(frozen=True)
class Minimum:
    """Where and why the search ended; `evaluations` of the objective, the first included."""

    x: Tensor
    value: float
    evaluations: int
    end: End


def minimise(
    objective: Objective,
    start: Tensor,
    done: Callable[[Tensor, float, Tensor], bool],
    resolution: float = 1e-14,
    evaluations: int = 5000,
) -> Minimum:
    """Minimises a smooth function from `start` until `done(x, value, gradient)`.

    The first step has length one along the gradient: scale the variables so that this is about right. The search also
    ends where a step promises to decrease the function by less than `resolution` of its value, below which values are
    rounding, and after about so many `evaluations`.
    """
    x, used = start.clone(), 1
    value, gradient = objective(x)
    pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=HISTORY)
    end: End = "done"
    while not done(x, value, gradient):
        if used >= evaluations:
            end = "evaluations"
            break
        direction = _direction(gradient, pairs)
        slope, noise = float((direction * gradient).sum()), resolution * abs(value)
        if slope >= 0:  # rounding has spoilt the curvature pairs
            pairs.clear()
            direction, slope = -gradient, -float(gradient.square().sum())
        found, trials = _search(objective, x, direction, value, slope, noise) if -slope > noise else (None, 0)
        used += trials
        if found is None:
            end = "lost"
            break
        step, value, new_gradient = found
        move, change = step * direction, new_gradient - gradient
        curvature = float((move * change).sum())
        if curvature > 1e-12 * float(change.square().sum()):
            pairs.append((move, change, curvature))
        x, gradient = x + move, new_gradient
    return Minimum(x, value, used, end)


def _direction(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, float]]) -> Tensor:
    """Minus the inverse Hessian's estimate times the gradient: the two-loop recursion."""
    q, weights = gradient.clone(), []
    for move, change, curvature in reversed(pairs):
        weight = float((move * q).sum()) / curvature
        weights.append(weight)
        q -= weight * change
    if pairs:
        _, change, curvature = pairs[-1]
        q *= curvature / float(change.square().sum())
    for (move, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - float((change * q).sum()) / curvature) * move
    return -q


_Point = tuple[float, float, Tensor]
"""Step, value, gradient."""


def _search(
    objective: Objective, x: Tensor, direction: Tensor, value: float, slope: float, noise: float
) -> tuple[_Point | None, int]:
    """A step that satisfies the strong Wolfe conditions, and the evaluations it took; None if there is no descent."""
    low, low_value, low_slope = 0.0, value, slope
    high: tuple[float, float, float] | None = None
    step, best = 1.0, None
    for trial in range(1, TRIALS + 1):
        new_value, gradient = objective(x + step * direction)
        new_slope = float((direction * gradient).sum())
        if not new_value <= value + DECREASE * step * slope + noise or (best is not None and new_value > low_value):
            high = (step, new_value, new_slope)  # also where the value is no number
        else:
            if abs(new_slope) <= -CURVATURE * slope:
                return (step, new_value, gradient), trial
            best = (step, new_value, gradient)
            if new_slope * ((high[0] if high else step + 1.0) - low) >= 0:
                high = (low, low_value, low_slope)
            low, low_value, low_slope = step, new_value, new_slope
        if high is None:
            step *= 4.0
        else:
            step = _between((low, low_value, low_slope), high)
            if abs(high[0] - low) < 1e-9:
                break
    return best, TRIALS


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """The minimum of the cubic through two points, kept away from the ends of the interval."""
    (a, value_a, slope_a), (b, value_b, slope_b) = low, high
    middle, width = 0.5 * (a + b), abs(b - a)
    d1 = slope_a + slope_b - 3 * (value_a - value_b) / (a - b)
    inside = d1 * d1 - slope_a * slope_b
    if not inside >= 0:  # no number, or no minimum
        return middle
    d2 = inside**0.5 if b > a else -(inside**0.5)
    bottom = slope_b - slope_a + 2 * d2
    step = b - (b - a) * (slope_b + d2 - d1) / bottom if bottom else middle
    return step if abs(step - middle) <= 0.4 * width else min(max(step, middle - 0.4 * width), middle + 0.4 * width)
