"""The penalties that are tried for a head, one after the other, as far as they get better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mmtransfer.probe.logistic import Linear, logistic
from mmtransfer.probe.losses import scored
from mmtransfer.probe.rows import Rows

STRONGEST, WEAKEST = 10.0, 1e-6
"""The ends of all paths."""
STEPS = range(4, 9)
"""Half decades below 1 that every path visits: 1e-2 to 1e-4."""
PENALTIES = tuple(10.0 ** -(0.5 * step) for step in STEPS)
"""The same as penalties, on weights of features that are divided by their common root mean square: so one grid fits
every backbone."""


@dataclass(frozen=True)
class Point:
    """One point of the grid and what it scored; `loss` is the mean log loss, of values the mean squared error."""

    penalty: float
    scale: float | None
    accuracy: float | None
    loss: float

    def cost(self, folds: bool) -> tuple[float, float]:
        """Less is better: by accuracy, ties by loss; by folds the loss alone.

        Folds are for few examples, whose accuracy is too coarse: chosen by loss, 5 shots of BANKING77 give 80.8 %
        instead of 80.5, 1 shot 68.7 instead of 67.3 (MiniLM, class names, 3 draws).
        """
        return (0.0 if folds or self.accuracy is None else -self.accuracy, self.loss)

    def worse(self, other: Point) -> bool:
        """Whether it has more loss, and no more accuracy."""
        return self.loss > other.loss and (self.accuracy or 0.0) <= (other.accuracy or 0.0)


@dataclass(frozen=True)
class Part:
    """Examples to fit, and those of other rows, or those among the same whose `picked` is 1, to score the answer by."""

    fitted: Rows
    scored: Rows
    picked: Tensor | None = None


@dataclass(frozen=True)
class Path:
    """Models of one pull to class names (`scale`, `prior`) from strong to weak penalties, one for each part.

    It starts with PENALTIES. Towards stronger ones it goes on while the strongest so far is the best; towards weaker
    ones, whose models take longest, until two in a row are worse than the best. `limits`: the strongest and weakest.
    """

    parts: Sequence[Part]
    scale: float | None
    prior: Tensor | None
    limits: tuple[float, float]
    models: dict[int, list[Linear]] = field(default_factory=dict)
    points: dict[int, Point] = field(default_factory=dict)

    def walk(self, folds: bool) -> None:
        """Visits all penalties that it has to."""
        for step in STEPS:
            self._visit(step)
        while True:
            best = self.points[self.best(folds)]
            strongest, weakest, before = min(self.points), max(self.points), max(self.points) - 1
            if self.best(folds) == strongest and self._allowed(strongest - 1):
                self._visit(strongest - 1)
            elif self._allowed(weakest + 1) and not all(self.points[at].worse(best) for at in (before, weakest)):
                self._visit(weakest + 1)
            else:
                return

    def best(self, folds: bool) -> int:
        """The step of the best point; of equals the strongest penalty."""
        return min(sorted(self.points), key=lambda step: self.points[step].cost(folds))

    def said(self, folds: bool) -> str | None:
        """What is worth telling of how far it went; None where nothing is."""
        penalty = self.points[self.best(folds)].penalty
        strongest, weakest = self.points[min(self.points)].penalty, self.points[max(self.points)].penalty
        ends = [name for name, end in (("strongest", strongest), ("weakest", weakest)) if end == penalty]
        if ends:
            return f"the best penalty, {penalty:.0e}, is the {ends[0]} that is tried: a still better one may lie beyond"
        usual = PENALTIES[-1] / 10
        if strongest > PENALTIES[0] or weakest < usual * 0.99:
            tried = f"{strongest:.0e} to {weakest:.0e}"
            return f"the usual penalties did not settle it, so more were tried: {tried}"
        return None

    def _allowed(self, step: int) -> bool:
        strongest, weakest = self.limits
        return weakest * 0.99 <= 10.0 ** -(0.5 * step) <= strongest * 1.01

    def _visit(self, step: int) -> None:
        side = -1 if self.points and step > max(self.points) else 1
        known = [self.models[at] for at in (step + 2 * side, step + side) if at in self.models]
        penalty = 10.0 ** -(0.5 * step)
        self.models[step] = [
            logistic(part.fitted, penalty * part.fitted.square, following([each[place] for each in known]), self.prior)
            for place, part in enumerate(self.parts)
        ]
        found = [
            scored(part.scored, model, part.picked) for part, model in zip(self.parts, self.models[step], strict=True)
        ]
        count = max(1.0, sum(each[0] for each in found))
        accuracy, loss = (sum(each[0] * each[place] for each in found) / count for place in (1, 2))
        self.points[step] = Point(penalty, self.scale, accuracy, loss)


def following(models: Sequence[Linear]) -> Linear | None:
    """Where to start after the models of neighbouring penalties, the nearest last; None where there are none.

    The weights move nearly evenly with the logarithm of the penalty: started from the last model alone, a path takes
    two fifths more evaluations (BANKING77, MiniLM).
    """
    if len(models) < 2:
        return models[-1] if models else None
    before, last = models[-2:]
    return Linear(2 * last.weight - before.weight, 2 * last.bias - before.bias)
