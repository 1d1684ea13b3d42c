"""Which backbone suits the data? Cross-validated exact probes on cached features, before anything is trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtransfer import backbones as known_backbones
from mmtransfer.config import RunConfig
from mmtransfer.engine import exact, processes
from mmtransfer.engine.features import features_of_splits
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.shortage import else_on_the_cpu
from mmtransfer.engine.states import States
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.probe import Choice, solve
from mmtransfer.resolution import resolve
from mmtransfer.tasks import TASKS

logger = logging.getLogger("mmtransfer")
FOLDS = 5
SPEED_EXAMPLES, SPEED_BATCHES = 96, 4
"""Examples that the speed of prediction is measured on, after a third of them to warm up."""


@dataclass(frozen=True)
class Ranked:
    """A backbone and what is expected of it.

    `metric`, `score`, `higher_is_better`: the task's primary metric of a linear probe, cross-validated, with its
    interval; `penalty`: what the folds chose; `seconds`: for features and probe; `hits`: splits whose features were
    cached already; `parameters`, `bytes`: of the backbone, on disk in float32; `examples_per_second`: encoding and
    forward pass; `best`: no other backbone is at least as good in score, speed and size and better in one of them.
    """

    backbone: str
    metric: str
    score: Score
    higher_is_better: bool
    penalty: float
    seconds: float
    hits: int
    parameters: int
    examples_per_second: float
    bytes: int
    best: bool = False


class Ranking(list[Ranked]):
    """Backbones, best first; `missing`: by name, why those that were asked for and are not among them could not be
    had."""

    missing: dict[str, MMTransferError]


def rank(task: str, train: Any, backbones: Sequence[str], folds: int = FOLDS, **fields: Any) -> Ranking:
    """Backbones with their expected scores, best first (Alain & Bengio 2016 for the probe).

    `backbones`: names as `--backbone` takes them, or NAME=WEIGHTS with what `--weights` takes; `fields`: settings of
    `fit`. What is cached here is found by `fit` with the same settings: validation data is cut from `train` as there,
    and the folds are of both. A backbone that cannot be had is told and left out.
    Raises MMTransferError for a task without an exact solver, and where no backbone can be had.

    >>> ranking = mmt.rank("text-classification", "train.csv", ["path/to/bert", "path/to/other"], folds=2)
    >>> [(ranked.backbone, ranked.metric, ranked.score.n) for ranked in ranking]
    [('path/to/bert', 'accuracy', 30), ('path/to/other', 'accuracy', 30)]
    """
    if not backbones:
        raise MMTransferError("No backbones to compare", "--backbones", "name two or more")
    given = {"task": task, "train": train, "strategy": "linear-probe", **fields}
    configs = {backbone: resolve(**given | named(backbone)) for backbone in backbones}
    if any(TASKS[task].exact(config) is None for config in configs.values()):
        raise MMTransferError(f"{task} has no exact probe", "mmtransfer rank", "compare short runs of fit instead")
    found: list[Ranked] = []
    missing: dict[str, MMTransferError] = {}
    machine: Machine | None = None
    for backbone, config in configs.items():
        try:
            known_backbones.check(config.backbone)
            machine = machine or Machine.set_up(config, processes.accelerator())
            found.append(_ranked(prepare(config, machine, aloud=not found), machine, backbone, folds))
        except MMTransferError as error:
            if not is_about(error, config):
                raise
            missing[backbone] = error
            if len(configs) > 1:  # else the error itself says all
                logger.warning("%s is left out: %s", backbone, error.what)
        else:
            logger.info("%s: %s %s", backbone, found[-1].metric, found[-1].score.value)
    if not found:
        raise next(iter(missing.values()))
    marked = [replace(one, best=not any(_beats(other, one) for other in found)) for one in found]
    ranking = Ranking(sorted(marked, key=lambda one: -_merit(one)))
    ranking.missing = missing
    return ranking


def named(word: str) -> dict[str, str]:
    """Backbone and weights of NAME=WEIGHTS; a path may have such a sign in it."""
    name, _, weights = word.rpartition("=")
    plain = not name or Path(word).expanduser().exists()
    return {"backbone": word} if plain else {"backbone": name, "weights": weights}


def is_about(error: MMTransferError, config: RunConfig) -> bool:
    """Whether an error is about a backbone or its weights, and not about what all have in common."""
    names = (config.backbone, *([config.weights] if config.weights else []))
    return any(error.where in (name, f"--backbone {name}", f"--weights {name}") for name in names) or any(
        repr(name) in error.what for name in names
    )


def _ranked(prepared: Prepared, machine: Machine, backbone: str, folds: int) -> Ranked:
    model, cache, begun = prepared.model.eval(), prepared.cache, time.monotonic()
    task, stages = model.task, model.backbone
    stages.freeze(range(len(stages.stages)))
    asked = {name: examples for name, examples in prepared.splits.by_name().items() if name != "test"}
    splits = prepared.splits.with_states(features_of_splits(model, asked, machine, model.end, cache), task)
    answered = [examples for examples in (splits.train, splits.validation) if examples is not None]

    def probed(device: torch.device) -> Choice:
        first, *others = exact.weighted_rows(model, splits, device)
        rows = sum(others, start=first)
        return solve(rows, folds=exact.folds_of(answered, rows, folds, prepared.config))

    choice = else_on_the_cpu(machine.device, probed)
    assert choice.held_out is not None  # there were folds
    score = task.target.measure(task.target.tune(exact.records_of(task, answered, choice.held_out)))[
        task.target.primary
    ]
    seconds = time.monotonic() - begun
    tensors = [*stages.parameters(), *stages.buffers()]
    return Ranked(
        backbone=backbone,
        metric=task.target.primary,
        score=score,
        higher_is_better=task.target.higher_is_better,
        penalty=choice.penalty,
        seconds=seconds,
        hits=cache.figures.hits,
        parameters=sum(value.numel() for value in stages.parameters()),
        examples_per_second=speed(model, prepared.splits.train, machine),
        bytes=sum(value.numel() * value.element_size() for value in tensors),
    )


def speed(model: Model, examples: Examples, machine: Machine) -> float:
    """Examples/s of prediction by a model whose backbone is frozen, on a few examples of all lengths."""
    count = min(SPEED_EXAMPLES, len(examples))
    picked = np.linspace(0, len(examples) - 1, count).astype(np.int32)
    picked = picked[np.argsort(examples.lengths[picked], kind="stable")]
    parts = np.array_split(picked, min(SPEED_BATCHES, count))
    states = States(model, examples, machine, model.end)
    list(states.compute(parts[:1]))  # kernels are chosen, memory is taken
    begun = time.monotonic()
    list(states.compute(parts))
    return count / max(1e-9, time.monotonic() - begun)


def _beats(one: Ranked, other: Ranked) -> bool:
    """Whether `one` is at least as good in everything and better in something."""
    mine = (_merit(one), one.examples_per_second, -one.bytes)
    theirs = (_merit(other), other.examples_per_second, -other.bytes)
    return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


def _merit(one: Ranked) -> float:
    """The score, or minus it: more is better."""
    return float(one.score.value or 0.0) * (1 if one.higher_is_better else -1)
