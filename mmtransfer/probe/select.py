"""Choosing the penalty of an exact head: on validation data, by folds, or (ridge) by leaving one out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmtransfer.probe.logistic import Linear, cross_entropy, logistic
from mmtransfer.probe.ridge import ridge, targets_of
from mmtransfer.probe.rows import Rows
from mmtransfer.seeding import generator

PENALTIES = tuple(10.0 ** -(2 + 0.5 * step) for step in range(7))
"""1e-2 to 1e-5, strong to weak, on weights of features that are divided by their common root mean square: so one grid
fits every backbone."""
RIDGE_PENALTIES = tuple(10.0 ** -(step - 1) for step in range(0, 8))
"""10 to 1e-6, likewise."""
CHOOSING = 1e-3
"""Tolerance while the penalty is being chosen: 0 to 3 of 1,000 answers are others than at 1e-5 down to penalties of
1e-4 (BANKING77, MiniLM); at 3e-3 up to 9 are."""
UNCHOSEN = 1e-3
"""The penalty where nothing is there to choose it by."""
SCALES = (0.0, 4.0, 8.0, 16.0, 32.0)
"""How strongly weights are pulled to class names: the logit of a name itself over the features' mean square norm."""


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


@dataclass(frozen=True)
class Choice:
    """An exact head.

    `model`: fitted on the training data alone, the one that the scores are of; `final`: fitted on all data that was
    given, at the same penalty; `point`: the penalty, relative, and its score, None where nothing was there to choose
    by; `path`: all points tried; `held_out`: with folds (ridge: always) outputs (n, outputs) for each example by a
    model that had not seen it.
    """

    model: Linear
    final: Linear
    penalty: float
    scale: float | None = None
    point: Point | None = None
    path: list[Point] = field(default_factory=list)
    held_out: Tensor | None = None


def solve(
    train: Rows, validation: Rows | None = None, folds: int = 0, prior: Tensor | None = None, seed: int = 0
) -> Choice:
    """The head of a linear probe.

    Args:
        train: the examples.
        validation: examples that choose the penalty (classes, labels), and that the final model is refitted with.
        folds: choose by this many folds of `train` instead.
        prior: encoded class names (outputs, width) that the weights are pulled to; how strongly is chosen too.
        seed: of the folds; without folds the answer does not depend on it, the problem being convex.

    Classes and labels: logistic regression; values: ridge, whose penalty the leave-one-out error chooses. No examples
    at all: the class names alone decide, if there are any.
    """
    if len(train) == 0:
        return _by_names(train, prior)
    if train.kind == "values":
        return _ridge(train, validation)
    grid = [(scale, _scaled(prior, scale, train)) for scale in (SCALES if prior is not None else (None,))]
    held_out = None
    if folds:
        folded = [
            (train.weighted(1.0 - one), one) for one in folds_of(torch.cat(list(train.targets)), train, folds, seed)
        ]
        models = {(scale, number): _path(rest, pull) for scale, pull in grid for number, (rest, _) in enumerate(folded)}
        path = [
            _folded_point(train, folded, models, scale, place) for scale, _ in grid for place in range(len(PENALTIES))
        ]
    elif validation is not None:
        models = {(scale, 0): _path(train, pull) for scale, pull in grid}
        path = [
            _point(PENALTIES[place], scale, [(validation, model, None)])
            for scale, _ in grid
            for place, model in enumerate(models[scale, 0])
        ]
    else:
        scale = 8.0 if prior is not None else None
        model = logistic(train, UNCHOSEN * train.square, prior=_scaled(prior, scale, train))
        return Choice(model, model, UNCHOSEN, scale)
    best = min(path, key=lambda point: point.cost(bool(folds)))  # of equals the first, the strongest penalty
    place, pull = PENALTIES.index(best.penalty), _scaled(prior, best.scale, train)
    if folds:
        held_out = torch.zeros(len(train), train.outputs)
        for number, (_, one) in enumerate(folded):
            outputs = torch.cat([models[best.scale, number][place](x).cpu() for x, _, _ in train.blocks()])
            held_out[one.bool().cpu()] = outputs[one.bool().cpu()]
        model = final = logistic(train, best.penalty * train.square, models[best.scale, 0][place], pull)
    else:
        assert validation is not None
        model = models[best.scale, 0][place]
        final = refit(train, validation, best.penalty, model, pull)
    return Choice(model, final, best.penalty, best.scale, best, path, held_out)


def refit(train: Rows, validation: Rows, penalty: float, start: Linear, prior: Tensor | None = None) -> Linear:
    """The model of training and validation data together, from that of the training data alone."""
    return logistic(train + validation, penalty * train.square, start, prior)


def folds_of(targets: Tensor, rows: Rows, folds: int, seed: int) -> Iterator[Tensor]:
    """For each fold a weight (n,): 1 for examples in it. Each class is dealt out evenly (classes)."""
    random = generator(seed, "split", 1)
    order = random.permutation(len(targets))
    if rows.kind == "classes":
        order = order[np.argsort(targets.cpu().numpy()[order], kind="stable")]
    dealt = np.empty(len(targets), np.int64)
    dealt[order] = np.arange(len(targets)) % folds
    for fold in range(folds):
        yield torch.from_numpy((dealt == fold).astype(np.float32)).to(rows.device)


def score(rows: Rows, model: Linear) -> tuple[float, float]:
    """Accuracy (labels: of each label, averaged) and mean loss of a model, over examples of weight above 0."""
    return _score(rows, model, None)


def _path(rows: Rows, prior: Tensor | None) -> list[Linear]:
    """Models from strong to weak penalties, each from where the two before point to."""
    models: list[Linear] = []
    for penalty in PENALTIES:
        models.append(logistic(rows, penalty * rows.square, following(models), prior, CHOOSING))
    return models


def following(models: Sequence[Linear]) -> Linear | None:
    """Where to start after the models of stronger penalties; None where there are none.

    The weights move nearly evenly with the logarithm of the penalty: started from the last model alone, a path takes
    two fifths more evaluations and is left further from its minima (BANKING77, MiniLM).
    """
    if len(models) < 2:
        return models[-1] if models else None
    before, last = models[-2:]
    return Linear(2 * last.weight - before.weight, 2 * last.bias - before.bias)


def _folded_point(
    train: Rows,
    folded: Sequence[tuple[Rows, Tensor]],
    models: dict[tuple[float | None, int], list[Linear]],
    scale: float | None,
    place: int,
) -> Point:
    parts = [(train, models[scale, number][place], one) for number, (_, one) in enumerate(folded)]
    return _point(PENALTIES[place], scale, parts)


def _point(penalty: float, scale: float | None, parts: Sequence[tuple[Rows, Linear, Tensor | None]]) -> Point:
    """The score over several sets of examples, each with a model of its own."""
    counts = [float(len(rows) if one is None else one.sum()) for rows, _, one in parts]
    found = [_score(rows, model, one) for rows, model, one in parts]
    mean = [sum(c * value[k] for c, value in zip(counts, found, strict=True)) / sum(counts) for k in (0, 1)]
    return Point(penalty, scale, mean[0], mean[1])


def _score(rows: Rows, model: Linear, one: Tensor | None) -> tuple[float, float]:
    right = loss = count = 0.0
    start = 0
    for x, y, w in rows.blocks():
        chosen = w > 0 if one is None else one[start : start + len(x)] > 0
        start += len(x)
        logits, y = model(x[chosen]), y[chosen]
        if rows.kind == "classes":
            right += float((logits.argmax(1) == y).sum())
        else:
            right += float(((logits > 0) == (y > 0)).float().mean(1).sum())
        losses, _ = cross_entropy(logits, y, rows.kind == "labels")
        loss += float(losses.sum(dtype=torch.float64))
        count += len(y)
    return right / max(1.0, count), loss / max(1.0, count)


def _scaled(prior: Tensor | None, scale: float | None, rows: Rows) -> Tensor | None:
    """Class names -> the weights that they ask for on features of this size."""
    if prior is None or scale is None:
        return None
    return scale / (rows.square * rows.width) * _directions(prior, (rows.square * rows.width) ** 0.5)


def _directions(prior: Tensor, size: float) -> Tensor:
    """Class names without what all of them share, each of norm `size`: long and short names get equal say."""
    centred = prior.double() - prior.double().mean(0)
    return size * centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _by_names(train: Rows, prior: Tensor | None) -> Choice:
    """Zero-shot: the class whose name has the largest cosine with an example.

    Nothing is centred: without examples their mean is unknown, and the mean of the names in its place costs 2 to 3 of
    60 % (BANKING77, MiniLM).
    """
    if prior is None:
        raise ValueError("no examples and no class names")
    norms = prior.double().norm(dim=1, keepdim=True).clamp(min=1e-12)
    weight = 8.0 * prior.double() / norms / norms.mean()
    model = Linear(weight, torch.zeros(len(prior), dtype=torch.float64, device=prior.device))
    return Choice(model, model, math.inf, None)


def _ridge(train: Rows, validation: Rows | None) -> Choice:
    found = ridge(train, [penalty * train.square for penalty in RIDGE_PENALTIES])
    path = [Point(penalty, None, None, loss) for penalty, loss in zip(RIDGE_PENALTIES, found.losses, strict=True)]
    place = min(range(len(path)), key=lambda number: path[number].loss)
    held_out = torch.cat([targets_of(y, train) for _, y, _ in train.blocks()]) - found.errors[place]
    model, penalty = found.models[place], RIDGE_PENALTIES[place]
    final = model
    if validation is not None:
        final = ridge(train + validation, [penalty * train.square]).models[0]
    return Choice(model, final, penalty, None, path[place], path, held_out.float().cpu())
