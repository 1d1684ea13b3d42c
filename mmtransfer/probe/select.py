"""Choosing the penalty of an exact head: on validation data, by folds, or (ridge) by leaving one out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmtransfer.probe.folds import answerable, known, tempered
from mmtransfer.probe.logistic import Linear, logistic
from mmtransfer.probe.path import STRONGEST, WEAKEST, Part, Path, Point
from mmtransfer.probe.ridge import ridge, targets_of
from mmtransfer.probe.rows import Rows

logger = logging.getLogger("mmtransfer")
RIDGE_PENALTIES = tuple(10.0 ** -(step - 1) for step in range(0, 8))
"""10 to 1e-6, on weights of features that are divided by their common root mean square."""
UNCHOSEN = 1e-3
"""The penalty where nothing is there to choose it by."""
SCALES = (0.0, 4.0, 8.0, 16.0, 32.0)
"""How strongly weights are pulled to class names: the logit of a name itself over the features' mean square norm."""


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
    folds: int | None = None
    """How many there were, of the training data."""


def solve(
    train: Rows,
    validation: Rows | None = None,
    folds: Tensor | None = None,
    prior: Tensor | None = None,
    limits: tuple[float, float] = (STRONGEST, WEAKEST),
) -> Choice:
    """The head of a linear probe.

    Args:
        train: the examples.
        validation: examples that choose the penalty (classes, labels), and that the final model is refitted with.
        folds: (n,) the fold that each example of `train` is in, to choose by instead; see `folds.deal`.
        prior: encoded class names (outputs, width) that the weights are pulled to; how strongly is chosen too.
        limits: the strongest and the weakest penalty of a path; see `Path` for how far it goes.

    Classes and labels: logistic regression; values: ridge, whose penalty the leave-one-out error chooses, or that of
    the folds. No examples at all: the class names alone decide, if there are any. Where a path went on because the best
    was at its end, or ends at its best all the same, the log says so.
    """
    if len(train) == 0:
        return _by_names(train, prior)
    if train.kind == "values":
        return _ridge(train, validation, folds)
    if folds is None and validation is None:
        scale = 8.0 if prior is not None else None
        model = logistic(train, UNCHOSEN * train.square, prior=_scaled(prior, scale, train))
        return Choice(model, model, UNCHOSEN, scale)
    parts = [Part(train, validation)] if validation is not None else []
    if folds is not None:
        parts = _folded(train, folds, prior is not None)
    scales = SCALES if prior is not None else (None,)
    paths = [Path(parts, scale, _scaled(prior, scale, train), limits) for scale in scales]
    by_folds = folds is not None
    for path in paths:
        path.walk(by_folds)
    best = min(paths, key=lambda path: path.points[path.best(by_folds)].cost(by_folds))
    if said := best.said(by_folds):
        logger.info("linear probe: %s", said)
    place = best.best(by_folds)
    point, models = best.points[place], best.models[place]
    tried = [path.points[step] for path in paths for step in sorted(path.points)]
    if folds is not None:
        held_out = _held_out(train, folds, models, prior is not None)
        model = final = logistic(train, point.penalty * train.square, models[0], best.prior)
        return Choice(model, final, point.penalty, point.scale, point, tried, held_out, len(parts))
    assert validation is not None
    final = refit(train, validation, point.penalty, models[0], best.prior)
    return Choice(models[0], final, point.penalty, point.scale, point, tried)


def _folded(train: Rows, folds: Tensor, named: bool) -> list[Part]:
    """A part of each fold: all examples outside it, scored by those inside.

    An example whose class only its own fold has says nothing of a penalty, unless the class's name does (`named`).
    """
    inside = [folds == fold for fold in range(int(folds.max()) + 1)]
    picked = inside if named else [one & answerable(train, known(train, one)) for one in inside]
    if not any(bool(one.any()) for one in picked):
        picked = inside
    return [Part(train.weighted(1.0 - one.float()), train, few) for one, few in zip(inside, picked, strict=True)]


def _held_out(train: Rows, folds: Tensor, models: Sequence[Linear], named: bool) -> Tensor:
    """Each example's outputs (n, outputs) by the model of the fold that it is in."""
    held_out = torch.zeros(len(train), train.outputs)
    for fold, model in enumerate(models):
        one = folds == fold
        outputs = torch.cat([model(x) for x, _, _ in train.blocks()])[one]
        if not named:
            outputs = tempered(outputs, train, known(train, one), int((~one).sum()))
        held_out[one.cpu()] = outputs.cpu()
    return held_out


def refit(train: Rows, validation: Rows, penalty: float, start: Linear, prior: Tensor | None = None) -> Linear:
    """The model of training and validation data together, from that of the training data alone."""
    return logistic(train + validation, penalty * train.square, start, prior)


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


def _ridge(train: Rows, validation: Rows | None, folds: Tensor | None) -> Choice:
    scaled = [penalty * train.square for penalty in RIDGE_PENALTIES]
    found = ridge(train, scaled)
    errors = found.errors if folds is None else _errors_by_folds(train, scaled, folds)
    losses = [float(error.square().sum(1).mean()) for error in errors]
    path = [Point(penalty, None, None, loss) for penalty, loss in zip(RIDGE_PENALTIES, losses, strict=True)]
    place = min(range(len(path)), key=lambda number: path[number].loss)
    if place in (0, len(path) - 1):
        end = "strongest" if place == 0 else "weakest"
        logger.info("linear probe: the best penalty, %.0e, is the %s that is tried", RIDGE_PENALTIES[place], end)
    held_out = _values(train) - errors[place]
    model, penalty = found.models[place], RIDGE_PENALTIES[place]
    final = model
    if validation is not None:
        final = ridge(train + validation, [penalty * train.square]).models[0]
    count = None if folds is None else int(folds.max()) + 1
    return Choice(model, final, penalty, None, path[place], path, held_out.float().cpu(), count)


def _values(rows: Rows) -> Tensor:
    return torch.cat([targets_of(y, rows) for _, y, _ in rows.blocks()])


def _errors_by_folds(train: Rows, penalties: Sequence[float], folds: Tensor) -> Tensor:
    """What each target was off by (penalties, n, outputs), float64, for the model of the other folds."""
    x, y = torch.cat(list(train.features)), torch.cat(list(train.targets))
    errors = _values(train).repeat(len(penalties), 1, 1)
    for fold in range(int(folds.max()) + 1):
        one = folds == fold
        models = ridge(replace(train, features=[x[~one]], targets=[y[~one]], weights=None), penalties).models
        errors[:, one] -= torch.stack([model(x[one]).double() for model in models])
    return errors
