"""The phases of a run, one after the other: freeze, train, validate, keep the best, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from mmtransfer.data.plan import Epoch, Plan, padding_share
from mmtransfer.engine import budget, exact, joining, keeping, layers, mixing, optim, processes, tracking
from mmtransfer.engine.anchoring import Start
from mmtransfer.engine.averaging import applied
from mmtransfer.engine.beside import Beside
from mmtransfer.engine.decoding import prepare_decoded
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.features import prepare_states
from mmtransfer.engine.loop import train_epoch
from mmtransfer.engine.model import Model
from mmtransfer.engine.passes import Passes, ended
from mmtransfer.engine.progress import bar
from mmtransfer.engine.shortage import refusal_of_several
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.stopping import Stopped, agreed
from mmtransfer.engine.training import Outcome, Status, Training
from mmtransfer.engine.vocabulary import WordRows
from mmtransfer.seeding import generator
from mmtransfer.strategies import Exact, Loop, Phase

logger = logging.getLogger("mmtransfer")


def train(
    training: Training,
    model: Model,
    splits: Splits,
    phases: Sequence[Phase],
    optimizer_state: dict[str, Tensor] | None = None,
    start: Start | None = None,
) -> Outcome:
    """Runs the phases from `training.state` on; the model of the outcome has the best validated weights.

    `optimizer_state`: the tensors of a checkpoint's optimizer.safetensors; `start`: what the run began with, where a
    phase returns to it. Returns the outcome of the last phase that was run.
    """
    state, kept = training.state, model.trained(phases)
    state.budget = state.budget or model.task.input.budget()
    steps = 0
    if any(isinstance(phase.solver, Loop) for phase in phases):
        plan = _plan(training, splits)
        _say_padding(plan)
        _say_cut(model, phases, plan)
        steps = plan.steps_per_epoch
    training.outlook.plan(training.clock, training.config.max_minutes, splits, phases, steps)
    outcome = Outcome(model, splits)
    while state.phase < len(phases):
        phase, last = phases[state.phase], state.phase == len(phases) - 1
        model.backbone.freeze(set(range(len(model.backbone.stages))) - set(phase.trains.stages), phase.trains.part)
        try:
            model, tried = layers.choose(training, model, splits, phase)
            model = model.starting(phase.trains)
            splits = prepare_states(training, model, splits, phase, last)
            splits = prepare_decoded(training, model.task, splits, phase)
        except Stopped:
            return Outcome(model, splits, "stopped")
        if len(state.phases) == state.phase:
            state.phases.append(_entry(phase) | {"layer": model.backbone.depth, "layers": tried})
        best = state.best_value
        if isinstance(phase.solver, Exact):
            outcome = exact.train(training, model, splits, phase.name, phase.solver, kept)
        else:
            beside = Beside(model, phase, start or {}, optimizer_state)
            outcome = _train_by_steps(training, model, splits, phase, kept, last, beside, optimizer_state)
            optimizer_state = None
        if outcome.status == "stopped":
            return outcome
        state.phases[state.phase] |= {"best": outcome.best, "seconds": outcome.seconds}
        _compare(training, model)
        state.phase, state.epoch, state.step, state.since_best = state.phase + 1, 0, 0, 0
        if outcome.status == "out of time":
            return outcome
        if isinstance(phase.solver, Exact) and not last:
            keeping.checkpoint(training, model, kept, None, is_best=state.best_value != best)
    return outcome


def _train_by_steps(
    training: Training,
    model: Model,
    splits: Splits,
    phase: Phase,
    kept: Collection[str],
    last: bool,
    beside: Beside,
    optimizer_state: dict[str, Tensor] | None,
) -> Outcome:
    """The epochs of a phase, from where `training.state` stands; `kept`: the tensors that checkpoints hold, `last`:
    whether no phase comes after it."""
    state, accelerator = training.state, training.machine.accelerator
    everything = joining.joined(splits, model.task) if phase.joined else splits
    rows = WordRows.of(model, phase, everything.train, training.machine)
    prepared, optimizer = _prepare(training, model, phase, beside, rows)
    entry = state.phases[state.phase]
    passes = Passes.of(training.config, training.machine, prepared, ended(entry), rows)
    passes.tell(entry)
    training.outlook.recording = passes.unrecorded
    if optimizer_state:
        keeping.restore_moments(optimizer, optimizer_state)

    def save(is_best: bool = False) -> None:
        if passes.graphs is not None:
            entry["graphs"] = passes.graphs.figures.as_dict()
        keeping.checkpoint(training, model, kept, optimizer, beside, is_best)

    plan = _plan(training, splits)
    status: Status = "out of time" if training.stop.has_ended(state) else "finished"
    while state.epoch < phase.epochs and status == "finished" and not _out_of_patience(training):
        begun = time.monotonic()
        try:
            if joining.is_due(phase, state, splits):
                splits = _join(training, model, everything, phase, last)
                plan = _plan(training, splits)
            with nullcontext() if rows is None else rows.instead():
                plan = _train_epoch(training, passes, optimizer, splits, phase, plan, save)
        except Stopped as stop:
            if stop.interrupted:
                save()
                return _outcome(training, model, splits, "stopped")
            status = "out of time"
            if not training.stop.has_ended(state):  # which was asked for
                logger.warning("--max-minutes is spent in epoch %d of phase %s", state.epoch + 1, phase.name)
        with applied(beside.average):
            is_best = _validate(training, model, splits, phase, kept, begun)
        if agreed(accelerator, training.stop.is_due(state)):
            status = "out of time"
        goes_on = status == "finished" and state.epoch < phase.epochs and not _out_of_patience(training)
        more = status == "finished" and (not last or state.epoch < phase.epochs)
        stopped = agreed(accelerator, training.stop.pauses(state)) and more
        if stopped or not goes_on or training.saver.is_due():
            save(is_best and beside.average is None)  # what is best of averages is not what goes on
        if stopped:
            return _outcome(training, model, splits, "stopped")
    for parameter in passes.parameters:  # recorded passes leave them behind
        parameter.grad = None
    keeping.load_best(training, model, kept)
    return _ended(training, model, splits, phase, beside, status)


def _ended(training: Training, model: Model, splits: Splits, phase: Phase, beside: Beside, status: Status) -> Outcome:
    """What a phase of steps gives behind its last one."""
    if joining.has_begun(phase, training.state):  # scores would be of examples that it knows
        splits = replace(splits, validation=None)
    if phase.mix:
        try:
            mixing.choose(training, model, splits, beside.start, phase.mix)
        except Stopped:
            return _outcome(training, model, splits, "stopped")
    training.machine.accelerator.free_memory()
    return _outcome(training, model, splits, status)


def _join(training: Training, model: Model, everything: Splits, phase: Phase, last: bool) -> Splits:
    """The splits of the last epochs, with the states that the phase reads."""
    logger.info("%s: the validation data are trained on as well from here on", phase.name)
    splits = prepare_states(training, model, everything.without_states(), phase, last)
    splits = prepare_decoded(training, model.task, splits, phase)
    training.state.best_value, training.state.best = None, None  # what is best so far is not what is wanted
    return splits


def _outcome(training: Training, model: Model, splits: Splits, status: Status) -> Outcome:
    entry = training.state.phases[training.state.phase]
    return Outcome(model, splits, status, entry["best"], entry["seconds"])


def _entry(phase: Phase) -> dict[str, Any]:
    """What result.json says of a phase; `folds`, `penalty`, `scale` and `path` are the exact solver's."""
    solver = "exact" if isinstance(phase.solver, Exact) else "loop"
    entry = {"name": phase.name, "solver": solver, "epochs": 0, "steps": 0, "seconds": 0.0, "best": None}
    return entry | {"folds": None, "penalty": None, "scale": None, "path": None}


def _compare(training: Training, model: Model) -> None:
    """Says how far a phase has come from the one before it."""
    state = training.state
    before, after = state.phases[max(0, state.phase - 1)]["best"], state.phases[state.phase]["best"]
    if state.phase and before and after and None not in (before["value"], after["value"]):
        logger.info(
            "%s: validation %s %.4f, after %.4f of phase %s",
            state.phases[state.phase]["name"],
            model.task.target.primary,
            after["value"],
            before["value"],
            state.phases[state.phase - 1]["name"],
        )


def _plan(training: Training, splits: Splits) -> Plan:
    """The steps of an epoch, with the micro-batches in force."""
    config = training.config
    train = splits.train
    return Plan(train.lengths, config.batch_size, training.state.budget, config.seed, train.shares)


def _prepare(
    training: Training, model: Model, phase: Phase, beside: Beside, rows: WordRows | None
) -> tuple[nn.Module, AcceleratedOptimizer]:
    model.train()
    config, rates = training.config, phase.rates
    stages = [model.backbone.stages[stage] for stage in phase.trains.stages]
    rated = [*zip(stages, rates.stages, strict=True), (model.head, rates.head)]
    instead: dict[Tensor, nn.Parameter] = {} if rows is None else {rows.table.weight: rows.trained}
    groups = optim.groups(rated, config.weight_decay if phase.anchor is None else 0.0, instead)
    own = optim.optimizer(groups, config)
    if rows is not None:  # before the average takes in the table
        rows.attach(own)
    beside.attach(own)
    prepared, optimizer = training.machine.accelerator.prepare(model, own)
    return prepared, optimizer


def _train_epoch(
    training: Training,
    passes: Passes,
    optimizer: AcceleratedOptimizer,
    splits: Splits,
    phase: Phase,
    plan: Plan,
    save: Callable[[], None],
) -> Plan:
    """One epoch; after out-of-memory the step is cut into smaller micro-batches. Returns the plan in force."""
    state, machine, model = training.state, training.machine, passes.model
    total = phase.epochs * plan.steps_per_epoch
    with bar(f"{phase.name} {state.epoch + 1}/{phase.epochs}", len(splits.train), machine.is_main) as progress:
        while True:
            try:
                epoch, waited, begun = plan.epoch(state.epochs_done), state.stalled, state.seconds
                train_epoch(training, passes, optimizer, splits.train, epoch, total, progress, save)
                if splits.train.stored is None:
                    machine.workers.heed((state.stalled - waited) / max(1e-9, state.seconds - begun))
                return plan
            except torch.OutOfMemoryError as error:
                if machine.processes > 1:
                    raise refusal_of_several(error, model.task.input) from None
                shown = error.with_traceback(None)  # which holds on to what was computed
            given_up = passes.release()
            torch.cuda.empty_cache()
            if given_up:  # recordings held as much as a micro-batch: without them the step may fit as it is
                logger.warning("Out of memory: steps run as they are, not recorded, from here on")
                continue
            longest = _longest_if_alone(epoch, state.step)
            if longest is not None:
                raise budget.Work.of(machine, model, splits.train, [phase]).refusal(shown, longest)
            plan = plan.halved()
            state.budget = plan.budget
            logger.warning("Out of memory: micro-batches of at most %d units from here on", plan.budget)
            _say_cut(model, [phase], plan)


def _longest_if_alone(epoch: Epoch, step: int) -> int | None:
    """The longest example of a step whose micro-batches hold one each; None where it can still be cut."""
    alone = all(len(batch) == 1 for batch in epoch.micro_batches(step))
    return int(epoch.plan.lengths[epoch.examples(step)].max()) if alone else None


def _validate(
    training: Training, model: Model, splits: Splits, phase: Phase, kept: Collection[str], begun: float
) -> bool:
    """Scores the model on the validation data, keeps it if it is the best so far, and moves on to the next epoch;
    returns whether it is. Without validation data the last epoch is kept."""
    state, task = training.state, model.task
    # DDP hands buffers round before a forward pass, so the last step has left each process with its own
    processes.broadcast(training.machine.accelerator, model.buffers())
    records = None
    if splits.validation is not None:
        records = task.target.tune(evaluate(model, splits.validation, training.machine, "validating"))
    state.epoch, state.step, state.epochs_done = state.epoch + 1, 0, state.epochs_done + 1
    entry = state.phases[state.phase]
    entry["epochs"] = state.epoch
    entry["steps"] = state.steps_done - sum(other["steps"] for other in state.phases[:-1])
    entry["seconds"] += time.monotonic() - begun
    if records is None:
        state.best_value, state.best = None, None  # a head that was scored by folds is not what is left
        return False
    values = task.target.values(records)
    value = values[task.target.primary]
    state.since_best += 1
    own = entry["best"]["value"] if entry["best"] else None
    # what has no value, such as R2 of equal targets, cannot choose: the last epoch is kept
    if value is None or own is None or (value > own if task.target.higher_is_better else value < own):
        entry["best"] = {"epoch": state.epoch, "value": value}
    is_best = value is None or state.improves(value, task.target.higher_is_better)
    if is_best:
        state.best_value, state.best, state.since_best = value, f"best-{state.steps_done}", 0
        if training.machine.is_main:
            with training.clock.part("checkpoint"):
                training.saver.keep_best(state.best, model.tensors(kept))
    loss = sum(records["loss"]) / max(1, len(records["loss"]))
    known = {"epoch": state.epoch, "steps": entry["steps"], "value": value, "loss": loss if isfinite(loss) else None}
    entry["validations"] = [*entry.get("validations", ()), known]
    training.track({**tracking.numbers("validation", values), "validation/loss": loss})
    said = "undefined, so the last epoch is kept" if value is None else f"{value:.4f}"
    logger.info("%s epoch %d: validation %s %s, loss %.4f", phase.name, state.epoch, task.target.primary, said, loss)
    alarm = task.target.alarm(records) if 4 * state.epoch > phase.epochs else None  # early on, all is normal
    if alarm and not state.alarmed:
        state.alarmed = True
        logger.warning(alarm)
    return is_best


def _out_of_patience(training: Training) -> bool:
    patience = training.config.patience
    return patience is not None and training.state.since_best >= patience


def _say_cut(model: Model, phases: Sequence[Phase], plan: Plan) -> None:
    """Warns where batch normalisation that is trained sees less than a step."""
    first = plan.epoch(0).micro_batches(0)
    if len(first) > 1 and budget.normalising(model, phases):
        logger.warning("BatchNorm sees micro-batches of %d examples, not the step's %d", len(first[0]), plan.batch_size)


def _say_padding(plan: Plan) -> None:
    if plan.fixed:
        return
    epoch, size = plan.epoch(0), plan.batch_size
    random = generator(plan.seed, "order").permutation(len(plan.lengths)).astype(np.int32)
    before = [random[start : start + size] for start in range(0, len(random), size)]
    planned = [batch for step in range(len(epoch)) for batch in epoch.micro_batches(step)]
    logger.info(
        "padding: %.0f %% of the computation, with examples of like length in one batch; in random order %.0f %%",
        100 * padding_share(plan.lengths, planned),
        100 * padding_share(plan.lengths, before),
    )
