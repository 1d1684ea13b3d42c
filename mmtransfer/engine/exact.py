"""A phase whose head is the answer to a convex problem on the frozen features: no epochs, no rates."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from accelerate.utils import broadcast, broadcast_object_list
from torch import Tensor

from mmtransfer.cache import features as shards
from mmtransfer.data import table
from mmtransfer.engine import caching, checkpoint
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.loop import Job
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import LinearHead
from mmtransfer.probe import Choice, Linear, Rows, solve
from mmtransfer.strategies import Phase
from mmtransfer.tasks.base import Records
from mmtransfer.tasks.task import Task

logger = logging.getLogger("mmtransfer")


def check(plan: Sequence[Phase], task: Task) -> None:
    """Raises MMTransferError where a phase asks for class names that say nothing; labels must be known."""
    if not any(phase.prior for phase in plan):
        return
    names = task.class_names()
    if names is None:
        raise MMTransferError(
            f"{task.name} cannot encode class names: its inputs are not single texts with labels",
            "--strategy.prior names",
            "leave it out",
        )
    if not any(character.isalpha() for name in names for character in name):
        raise MMTransferError(
            f"The class names say nothing: {', '.join(map(repr, names[:5]))}",
            "--strategy.prior names",
            "name the classes in words in the training data, or leave it out",
        )


def train(job: Job, trained: Trained, phase: Phase, stages: Sequence[int]) -> None:
    """Finds the head, and scores the one that has not seen the validation data.

    `stages`: what later phases train and checkpoints therefore hold. The main process solves, the others take its
    answer. What the scores are of stays in `job.selected` where the head
    that is left was refitted on the validation data, or where folds of the training data stood in for such data.
    """
    begun = time.monotonic()
    state, task = job.state, job.task
    choice: Choice | None = None
    if job.accelerator.is_main_process:
        choice = solved(job, trained, phase)
        _put(job.head, choice.model)
    _agree(job)
    if job.validation is not None:
        records = task.tune(evaluate(trained, job.validation, job.accelerator, job.workers, "validating"))
    else:
        records = _held_out(job, choice)
    if choice is not None and phase.refit:
        _put(job.head, choice.final)
    _agree(job)
    refitted = phase.refit and not phase.folds
    job.selected = records if records and (refitted or job.validation is None) else None
    score = task.measure(records)[task.primary] if records else None
    entry = state.phases[state.phase]
    entry["seconds"] += time.monotonic() - begun
    if choice is not None:
        # without examples it is infinite, which JSON does not have
        entry["penalty"], entry["scale"] = choice.penalty if math.isfinite(choice.penalty) else None, choice.scale
        entry["path"] = [asdict(point) for point in choice.path]
    if score is None or score.value is None:
        return
    entry["best"] = {"epoch": 0, "value": score.value}
    if choice is not None:
        logger.info("%s: validation %s %.4f at penalty %.1e", phase.name, task.primary, score.value, choice.penalty)
    if state.improves(score.value, task.higher_is_better):
        state.best_value, state.best = score.value, f"best-{state.steps_done}"
        if choice is not None:
            kept = {"weights.safetensors": trained.tensors(stages)}
            checkpoint.write(job.folder / "checkpoints", state.best, kept, None)


def solved(job: Job, trained: Trained, phase: Phase) -> Choice:
    """The head of the features that caching has computed; on the main process."""
    train, *others = weighted(job)
    validation = others[0] if others else None
    prior = _names(job, trained).to(job.accelerator.device) if phase.prior else None
    if phase.folds:
        return solve(train, folds=phase.folds, prior=prior, seed=job.config.seed)
    return solve(train, validation, prior=prior)


def weighted(job: Job) -> list[Rows]:
    """The features and targets of train and, where there is one, validation, weighted as `--class-weights` says."""
    splits = [rows(job, examples) for examples in (job.train, job.validation) if examples is not None]
    if job.train.weights is None or not job.train:
        return splits
    weights = torch.as_tensor(job.train.weights, dtype=torch.float32, device=splits[0].device)
    classes = splits[0].targets[0]
    return [split.weighted(_by_class(classes, weights, split.targets[0])) for split in splits]


def _by_class(classes: Tensor, weights: Tensor, others: Tensor) -> Tensor:
    """The weights that training examples of the same class have."""
    each = torch.ones(int(max(classes.max(), others.max())) + 1, device=weights.device)
    each[classes] = weights
    return each[others]


def rows(job: Job, examples: Examples) -> Rows:
    """A split's features and targets, which caching has computed; MMTransferError where there is no exact answer."""
    kind, stored, device = job.task.problem, examples.stored, job.accelerator.device
    if kind is None or not isinstance(job.head, LinearHead):
        raise MMTransferError(
            f"{job.task.name} with a {type(job.head).__name__} has no exact solution",
            "--strategy.solver exact",
            "give --strategy.solver loop",
        )
    outputs = job.head.linear.out_features
    if not examples:
        return Rows([], [], kind, outputs)
    assert stored is not None and isinstance(stored.targets, Tensor)
    made = Rows([stored.features.matrix().to(device)], [stored.targets.to(device)], kind, outputs)
    _check_finite(made, examples)
    return made


def _check_finite(made: Rows, examples: Examples) -> None:
    """Raises MMTransferError that names examples whose features are no numbers: no head could be found with them."""
    good = torch.cat([x.isfinite().all(1) for x, _, _ in made.blocks()]).cpu()
    bad = (~good).nonzero()[:, 0].tolist()
    if bad:
        names = ", ".join(str(examples.ids[place]) for place in bad[:5])
        raise MMTransferError(
            f"The features of {len(bad)} of {len(examples)} examples are not finite",
            f"the backbone's output for {names}" + (", ..." if len(bad) > 5 else ""),
            "try --precision fp32; if all examples are named, the backbone's weights are damaged, else look at these",
        )


def _names(job: Job, trained: Trained) -> Tensor:
    """The class names' features (classes, width)."""
    names = job.task.class_names() or []
    made = table.make(cast(Any, job.task.modality), "class names", [str(n) for n in range(len(names))], names)
    rows, lengths = job.task.rows(made)
    examples = Examples(rows, lengths, None)
    batches = caching.batches(job, examples)
    found = shards.collect(trained.end, len(names), caching.run(job, trained, "class names", examples, batches))
    return found.matrix().float()


def _put(head: torch.nn.Module, model: Linear) -> None:
    linear = cast(LinearHead, head).linear
    with torch.no_grad():
        linear.weight.copy_(model.weight)
        linear.bias.copy_(model.bias)


def _agree(job: Job) -> None:
    """Every process takes the main one's head."""
    if job.accelerator.num_processes > 1:
        for parameter in job.head.parameters():
            parameter.data.copy_(broadcast(parameter.data, from_process=0))


def _held_out(job: Job, choice: Choice | None) -> Records:
    """Records of the training examples, each by a model that had not seen it, the same on every process; empty where
    there were no folds."""
    records: Records = {}
    if choice is not None and choice.held_out is not None:
        records = records_of(job.task, [job.train], choice.held_out)
    if job.accelerator.num_processes > 1:
        records = broadcast_object_list([records])[0]
    return job.task.tune(records) if records else {}


def records_of(task: Task, splits: Sequence[Examples], held_out: Tensor) -> Records:
    """What `evaluate` would give for these splits, one after the other, if a model gave `held_out` (n, outputs)."""
    targets = torch.cat([split.stored.targets for split in splits if split.stored is not None])  # type: ignore[misc]
    predictions = task.predict({"logits": held_out})
    return {
        "id": [name for split in splits for name in split.ids],
        "target": [answer for split in splits for answer in split.answers or ()],
        "prediction": list(predictions.answers),
        **predictions.columns,
        "loss": task.loss({"logits": held_out}, targets).tolist(),
    }
