"""A phase whose head is the answer to a convex problem on the frozen features: no epochs, no rates."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from mmtransfer.config import RunConfig
from mmtransfer.data import groups, table
from mmtransfer.engine import processes
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.shortage import else_on_the_cpu
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.states import States
from mmtransfer.engine.training import Outcome, Training
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import LinearHead
from mmtransfer.probe import Choice, Linear, Rows, deal, solve
from mmtransfer.strategies import Exact, Phase
from mmtransfer.tasks.base import Records
from mmtransfer.tasks.task import Task

logger = logging.getLogger("mmtransfer")


def check(plan: Sequence[Phase], task: Task) -> None:
    """Raises MMTransferError where a phase asks for class names that say nothing; labels must be known."""
    if not any(isinstance(phase.solver, Exact) and phase.solver.prior for phase in plan):
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


def train(training: Training, model: Model, splits: Splits, name: str, solver: Exact, kept: Collection[str]) -> Outcome:
    """Finds the head, and scores the one that has not seen the validation data.

    `name`: of the phase; `kept`: the backbone's tensors that checkpoints hold. The main process solves, the others take
    its answer. The outcome has the records behind the score where the head that is left was refitted on the validation
    data, or where folds of the training data stood in for such data.
    """
    begun = time.monotonic()
    state, task, machine = training.state, model.task, training.machine
    choice: Choice | None = None
    if machine.is_main:
        choice = find_head(training, model, splits, solver)
        _put(model.head, choice.model)
    processes.broadcast(machine.accelerator, model.head.state_dict().values())
    if splits.validation is not None:
        records = task.target.tune(evaluate(model, splits.validation, machine, "validating"))
    else:
        records = _held_out(model, splits, machine, choice)
    if choice is not None and solver.refit:
        _put(model.head, choice.final)
    processes.broadcast(machine.accelerator, model.head.state_dict().values())
    seconds = state.phases[state.phase]["seconds"] + time.monotonic() - begun
    if choice is not None:
        _note(state.phases[state.phase], choice)
    seen = (solver.refit and not solver.folds) or splits.validation is None
    outcome = Outcome(model, splits, seconds=seconds, records=records if records and seen else None)
    value = task.target.values(records)[task.target.primary] if records else None
    if value is None:
        return outcome
    if choice is not None:
        logger.info("%s: validation %s %.4f at penalty %.1e", name, task.target.primary, value, choice.penalty)
    if state.improves(value, task.target.higher_is_better):
        state.best_value, state.best = value, f"best-{state.steps_done}"
        if choice is not None:
            training.saver.keep_best(state.best, model.tensors(kept))
    return replace(outcome, best={"epoch": 0, "value": value})


def _note(entry: dict[str, Any], choice: Choice) -> None:
    """Tells result.json how the head was chosen."""
    # without examples it is infinite, which JSON does not have
    entry["folds"] = choice.folds
    entry["penalty"], entry["scale"] = choice.penalty if math.isfinite(choice.penalty) else None, choice.scale
    entry["path"] = [asdict(point) for point in choice.path]


def find_head(training: Training, model: Model, splits: Splits, solver: Exact) -> Choice:
    """The head of the features that the splits have; on the main process."""
    heads, place = training.heads, (model.backbone.depth, solver)
    if heads is None:
        return _solved(training, model, splits, solver)
    if place not in heads:
        heads[place] = _solved(training, model, splits, solver)
    return heads[place]


def _solved(training: Training, model: Model, splits: Splits, solver: Exact) -> Choice:
    names = _names(training, model) if solver.prior else None

    def found(device: torch.device) -> Choice:
        train, *others = weighted_rows(model, splits, device)
        prior = None if names is None else names.to(device)
        if solver.folds and len(train):
            return solve(train, folds=folds_of([splits.train], train, solver.folds, training.config), prior=prior)
        return solve(train, others[0] if others else None, prior=prior)

    return else_on_the_cpu(training.machine.device, found)


def folds_of(splits: Sequence[Examples], rows: Rows, folds: int, config: RunConfig) -> Tensor | None:
    """The fold of each example of these splits, whose rows these are; with `--group-column` groups are whole.

    None for values that stand alone: each is a fold of its own there, at no cost.
    """
    if config.group_column is None and rows.kind == "values":
        return None
    owned: list[str] = []
    for number, split in enumerate(splits if config.group_column is not None else ()):
        own = groups.of(split.table) if split.table is not None else None
        # an example without a group is a group of its own, in each split
        owned += [f"{number}{name}" if name.startswith("\0") else name for name in own or split.ids]
    return deal(rows, [name for split in splits for name in split.ids], folds, config.seed, owned or None)


def weighted_rows(model: Model, splits: Splits, device: torch.device) -> list[Rows]:
    """The features and targets of train and, where there is one, validation, weighted as `--class-weights` says."""
    train, both = splits.train, (splits.train, splits.validation)
    rows = [_rows(model, examples, device) for examples in both if examples is not None]
    if train.weights is None or not train:
        return rows
    weights = torch.as_tensor(train.weights, dtype=torch.float32, device=rows[0].device)
    classes = rows[0].targets[0]
    return [split.weighted(_by_class(classes, weights, split.targets[0])) for split in rows]


def _by_class(classes: Tensor, weights: Tensor, others: Tensor) -> Tensor:
    """The weights that training examples of the same class have."""
    each = torch.ones(int(max(classes.max(), others.max())) + 1, device=weights.device)
    each[classes] = weights
    return each[others]


def _rows(model: Model, examples: Examples, device: torch.device) -> Rows:
    """A split's features and targets; MMTransferError where there is no exact answer."""
    task, head, stored = model.task, model.head, examples.stored
    kind = task.problem
    if kind is None or not isinstance(head, LinearHead):
        raise MMTransferError(
            f"{task.name} with a {type(head).__name__} has no exact solution",
            "--strategy.solver exact",
            "give --strategy.solver loop",
        )
    outputs = head.linear.out_features
    if not examples:
        return Rows([], [], kind, outputs)
    assert stored is not None and isinstance(stored.targets, Tensor)
    rows = Rows([stored.features.matrix().to(device)], [stored.targets.to(device)], kind, outputs)
    _check_finite(rows, examples)
    return rows


def _check_finite(rows: Rows, examples: Examples) -> None:
    """Raises MMTransferError that names examples whose features are no numbers: no head could be found with them."""
    good = torch.cat([x.isfinite().all(1) for x, _, _ in rows.blocks()]).cpu()
    bad = (~good).nonzero()[:, 0].tolist()
    if bad:
        names = ", ".join(str(examples.ids[place]) for place in bad[:5])
        raise MMTransferError(
            f"The features of {len(bad)} of {len(examples)} examples are not finite",
            f"the backbone's output for {names}" + (", ..." if len(bad) > 5 else ""),
            "try --precision fp32; if all examples are named, the backbone's weights are damaged, else look at these",
        )


def _names(training: Training, model: Model) -> Tensor:
    """The class names' features (classes, width)."""
    task, names = model.task, model.task.class_names() or []
    inputs = table.make(cast(Any, task.input.kind), "class names", [str(n) for n in range(len(names))], names)
    rows, lengths = task.input.rows(inputs)
    examples, machine = Examples(rows, lengths, None), training.machine
    states = States(model, examples, machine, model.end, training.cache, "class names", training.stop)
    return states.collect().matrix().float()


def _put(head: torch.nn.Module, model: Linear) -> None:
    linear = cast(LinearHead, head).linear
    with torch.no_grad():
        linear.weight.copy_(model.weight)
        linear.bias.copy_(model.bias)


def _held_out(model: Model, splits: Splits, machine: Machine, choice: Choice | None) -> Records:
    """Records of the training examples, each by a model that had not seen it, the same on every process; empty where
    there were no folds."""
    records: Records = {}
    if choice is not None and choice.held_out is not None:
        records = records_of(model.task, [splits.train], choice.held_out)
    if machine.processes > 1:
        (records,) = broadcast_object_list([records])
    return model.task.target.tune(records) if records else {}


def records_of(task: Task, splits: Sequence[Examples], held_out: Tensor) -> Records:
    """What `evaluate` would give for these splits, one after the other, if a model gave `held_out` (n, outputs)."""
    targets = torch.cat([split.stored.targets for split in splits if split.stored is not None])  # type: ignore[misc]
    predictions = task.target.predict({"logits": held_out})
    return {
        "id": [name for split in splits for name in split.ids],
        "target": [answer for split in splits for answer in split.answers or ()],
        "prediction": list(predictions.answers),
        **predictions.columns,
        "loss": task.target.loss({"logits": held_out}, targets).tolist(),
    }
