"""The phases of a run, one after the other: freeze, train, validate, keep the best, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import broadcast
from torch import Tensor, nn

from mmtransfer.data.plan import Plan, padding_share
from mmtransfer.engine import caching, checkpoint, exact, layers, optim, tracking
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.loop import Job, Stopped, agreed, train_epoch
from mmtransfer.engine.progress import bar
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.seeding import generator
from mmtransfer.strategies import Phase

logger = logging.getLogger("mmtransfer")


def train(job: Job, phases: Sequence[Phase], optimizer_state: dict[str, Tensor] | None = None) -> str:
    """Runs the phases from `job.state` on; the modules end with the best validated weights.

    `optimizer_state`: the tensors of a checkpoint's optimizer.safetensors. Returns `finished`, or `stopped` after a
    signal, with a checkpoint to go on from.
    """
    state, config = job.state, job.config
    state.budget = state.budget or job.task.budget()
    plan = Plan(job.train.lengths, config.batch_size, state.budget, config.seed)
    if any(phase.solver == "loop" for phase in phases):
        _say_padding(plan)
    ended = False
    while state.phase < len(phases) and not ended:
        phase = phases[state.phase]
        job.backbone.freeze(set(range(len(job.backbone.stages))) - set(phase.stages))
        try:
            tried = layers.choose(job, phase)
            trained = Trained(job.backbone, job.head, job.task, phase.stages, config.precision)
            caching.prepare(job, trained, phase, last=state.phase == len(phases) - 1)
        except Stopped:
            return "stopped"
        if len(state.phases) == state.phase:
            state.phases.append(_entry(phase) | {"layer": job.backbone.depth, "layers": tried})
        if phase.solver == "exact":
            exact.train(job, trained, phase, stages_of(phases))
            state.phase += 1
            if state.phase < len(phases):
                _checkpoint(job, phases, trained, None)
            continue
        model, optimizer = _prepare(job, phase, trained)
        if optimizer_state:
            _restore(optimizer, optimizer_state)
            optimizer_state = None
        while state.epoch < phase.epochs and not ended and not _out_of_patience(job):
            begun = time.monotonic()
            try:
                plan = _train_epoch(job, phases, model, optimizer, plan)
            except Stopped as stop:
                if stop.interrupted:
                    _checkpoint(job, phases, model, optimizer)
                    return "stopped"
                ended = True
                logger.warning("--max-minutes is spent in epoch %d of phase %s", state.epoch + 1, phase.name)
            _validate(job, phases, model, begun)
            ended = ended or agreed(job.accelerator, job.expired())
            _checkpoint(job, phases, model, optimizer)
            more = not ended and (state.phase < len(phases) - 1 or state.epoch < phase.epochs)
            if agreed(job.accelerator, job.interrupted()) and more:
                return "stopped"
        _load_best(job, model)
        job.accelerator.free_memory()
        _compare(job)
        state.phase, state.epoch, state.step, state.since_best = state.phase + 1, 0, 0, 0
    return "finished"


def stages_of(phases: Sequence[Phase]) -> list[int]:
    """The stages that any phase trains: all that checkpoints hold of the backbone."""
    return sorted({stage for phase in phases for stage in phase.stages})


def _entry(phase: Phase) -> dict[str, Any]:
    """What result.json says of a phase; `penalty`, `scale` and `path` are the exact solver's."""
    entry = {"name": phase.name, "solver": phase.solver, "epochs": 0, "steps": 0, "seconds": 0.0, "best": None}
    return entry | {"penalty": None, "scale": None, "path": None}


def _compare(job: Job) -> None:
    """Says how far a phase has come from the one before it."""
    state = job.state
    before, after = state.phases[max(0, state.phase - 1)]["best"], state.phases[state.phase]["best"]
    if state.phase and before and after and None not in (before["value"], after["value"]):
        logger.info(
            "%s: validation %s %.4f, after %.4f of phase %s",
            state.phases[state.phase]["name"],
            job.task.primary,
            after["value"],
            before["value"],
            state.phases[state.phase - 1]["name"],
        )


def _prepare(job: Job, phase: Phase, trained: Trained) -> tuple[nn.Module, AcceleratedOptimizer]:
    trained.train()
    stages = [(job.backbone.stages[stage], phase.lr) for stage in phase.stages]
    groups = optim.groups([*stages, (job.head, phase.head_lr)], job.config.weight_decay)
    model, optimizer = job.accelerator.prepare(trained, optim.optimizer(groups, job.config))
    return model, optimizer


def _train_epoch(
    job: Job, phases: Sequence[Phase], model: nn.Module, optimizer: AcceleratedOptimizer, plan: Plan
) -> Plan:
    """One epoch; after out-of-memory the step is cut into smaller micro-batches. Returns the plan in force."""
    state, phase = job.state, phases[job.state.phase]
    total = phase.epochs * plan.steps_per_epoch
    label = f"{phase.name} {state.epoch + 1}/{phase.epochs}"
    with bar(label, len(job.train), job.accelerator.is_main_process) as progress:
        while True:
            try:
                save = partial(_checkpoint, job, phases, model, optimizer)
                train_epoch(job, model, optimizer, plan.epoch(state.epochs_done), total, progress, save)
                return plan
            except torch.OutOfMemoryError:
                if job.accelerator.num_processes > 1 or plan.budget <= int(plan.lengths.min()):
                    raise
                plan = plan.halved()
                state.budget = plan.budget
                torch.cuda.empty_cache()
                logger.warning("Out of memory: micro-batches of at most %d units from here on", plan.budget)


def _validate(job: Job, phases: Sequence[Phase], model: nn.Module, begun: float) -> None:
    """Scores the model on the validation data, keeps it if it is the best so far, and moves on to the next epoch."""
    state, task = job.state, job.task
    trained: Trained = job.accelerator.unwrap_model(model)
    assert job.validation is not None  # only exact phases do without
    _agree_on_buffers(job, trained)
    records = task.tune(evaluate(trained, job.validation, job.accelerator, job.workers, "validating"))
    scores = task.measure(records)
    value = scores[task.primary].value
    state.epoch, state.step, state.epochs_done = state.epoch + 1, 0, state.epochs_done + 1
    state.since_best += 1
    entry = state.phases[state.phase]
    entry["epochs"] = state.epoch
    entry["steps"] = state.steps_done - sum(other["steps"] for other in state.phases[:-1])
    entry["seconds"] += time.monotonic() - begun
    own = entry["best"]["value"] if entry["best"] else None
    # what has no value, such as R2 of equal targets, cannot choose: the last epoch is kept
    if value is None or own is None or (value > own if task.higher_is_better else value < own):
        entry["best"] = {"epoch": state.epoch, "value": value}
    if value is None or state.improves(value, task.higher_is_better):
        state.best_value, state.best, state.since_best = value, f"best-{state.steps_done}", 0
        if job.accelerator.is_main_process:
            weights = trained.tensors(stages_of(phases))
            checkpoint.write(job.folder / "checkpoints", state.best, {"weights.safetensors": weights}, None)
    loss = sum(records["loss"]) / max(1, len(records["loss"]))
    job.track({**tracking.numbers("validation", scores), "validation/loss": loss})
    said = "undefined, so the last epoch is kept" if value is None else f"{value:.4f}"
    logger.info("%s epoch %d: validation %s %s, loss %.4f", entry["name"], state.epoch, task.primary, said, loss)
    alarm = task.alarm(records) if 4 * state.epoch > phases[state.phase].epochs else None  # early on, all is normal
    if alarm and not state.alarmed:
        state.alarmed = True
        logger.warning(alarm)


def _agree_on_buffers(job: Job, trained: Trained) -> None:
    """Every process takes the main one's running statistics: DDP hands them round before a forward pass, so the last
    step has left each process with its own."""
    if job.accelerator.num_processes > 1:
        for buffer in trained.buffers():
            buffer.copy_(broadcast(buffer.clone(), from_process=0))


def _out_of_patience(job: Job) -> bool:
    patience = job.config.patience
    return patience is not None and job.state.since_best >= patience


def _checkpoint(job: Job, phases: Sequence[Phase], model: nn.Module, optimizer: AcceleratedOptimizer | None) -> None:
    if job.accelerator.is_main_process:
        trained: Trained = job.accelerator.unwrap_model(model)
        moments = {
            f"{number}.{name}": value
            for number, moment in (optimizer.state_dict()["state"] if optimizer else {}).items()
            for name, value in moment.items()
            if isinstance(value, Tensor)
        }
        tensors = {"weights.safetensors": trained.tensors(stages_of(phases)), "optimizer.safetensors": moments}
        job.state.spent = job.spent()
        folder, name = job.folder / "checkpoints", f"step-{job.state.steps_done}"
        checkpoint.write(folder, name, tensors, job.state.state_dict())
        checkpoint.commit(folder, name, job.state.best)
    job.accelerator.wait_for_everyone()


def _restore(optimizer: AcceleratedOptimizer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _load_best(job: Job, model: nn.Module) -> None:
    if job.state.best is None:
        return
    job.accelerator.wait_for_everyone()
    best = job.folder / "checkpoints" / job.state.best
    if not checkpoint.intact(best):
        raise MMTransferError("The best weights of the run are damaged", str(best), "go on without them: --resume")
    tensors, _ = checkpoint.read(best)
    trained: Trained = job.accelerator.unwrap_model(model)
    trained.load_tensors(tensors["weights.safetensors"])


def _say_padding(plan: Plan) -> None:
    if plan.fixed:
        return
    epoch, size = plan.epoch(0), plan.batch_size
    random = generator(plan.seed, "order").permutation(len(plan.lengths)).astype(np.int32)
    before = [random[start : start + size] for start in range(0, len(random), size)]
    planned = [batch for step in range(len(epoch)) for batch in epoch.micro_batches(step)]
    logger.info(
        "padding: %.0f %% of what is computed in batches of %d as they come, %.0f %% as planned",
        100 * padding_share(plan.lengths, before),
        size,
        100 * padding_share(plan.lengths, planned),
    )
