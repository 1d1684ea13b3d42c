"""One call of `fit`, from settings to a run folder: prepare, begin, train, score, finish."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from mmtransfer import card, disk
from mmtransfer.backbones import adapters
from mmtransfer.config import RunConfig
from mmtransfer.engine import (
    anchoring,
    budget,
    checkpoint,
    determinism,
    memory,
    phases,
    processes,
    provenance,
    tracking,
    trial,
)
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.scaling import Scaler
from mmtransfer.engine.signals import Interrupted, collected
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.stopping import Stop
from mmtransfer.engine.training import Heads, Outcome, Training
from mmtransfer.errors import MMTransferError
from mmtransfer.lock import Lock
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.reporting import Report, count_parameters, hearing_warnings, throughput
from mmtransfer.run import RunFolder, device, environment
from mmtransfer.saving import save_adapters, save_model, write_task
from mmtransfer.tasks.base import Records

logger = logging.getLogger("mmtransfer")


def fit_run(config: RunConfig, accelerator: Accelerator, folder: RunFolder, warnings: list[str]) -> None:
    """Trains, scores, and writes the run folder; raises Interrupted after a signal. `warnings`: said already."""
    memory.reset()
    clock, lock = Clock(), Lock(folder.path)
    report = Report(config, folder, clock, warnings)
    with hearing_warnings(warnings):
        try:
            if config.resume or config.overwrite:  # a folder that is there: before minutes are spent on it
                processes.together(accelerator, lambda: _claim(folder, lock))
            with determinism.deterministic(config.deterministic, accelerator.device), collected() as signals:
                _fit(config, Machine.set_up(config, accelerator), folder, lock, report, signals)
        except Exception as error:
            report.warnings.append(f"{type(error).__name__}: {error}")
            with suppress(MMTransferError):  # what is wrong may be the disk
                report.write("failed")
            if disk.refuses(error):
                raise disk.refused(error, folder.path) from error
            raise
        finally:
            lock.release()
            tracking.finish(accelerator)


def _fit(
    config: RunConfig, machine: Machine, folder: RunFolder, lock: Lock, report: Report, signals: Sequence[int]
) -> None:
    """The order of a run."""
    prepared = prepare(config, machine, report.clock)
    stop = _stop(prepared.config, report.clock, prepared.splits, signals)
    with trained(prepared, machine, folder, lock, report, stop) as (training, outcome):
        if outcome.status == "stopped":
            report.write("stopped")
            command = f"mmtransfer fit {config.task} --resume --out {folder.path}"
            raise Interrupted(signals[0] if signals else signal.SIGTERM, command, folder.path)
        score(training, outcome, folder, report)
        finish(training, folder, report)


@contextmanager
def trained(
    prepared: Prepared,
    machine: Machine,
    folder: RunFolder,
    lock: Lock,
    report: Report,
    stop: Stop,
    heads: Heads | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[tuple[Training, Outcome]]:
    """Trains what is prepared, from the folder's newest checkpoint on where the run goes on; nobody else may write to
    the folder before the context has ended.

    `heads`: as in `Training`; `settings`: over those that it was prepared with.
    """
    clock, images = report.clock, prepared.model.task.input.unit is None
    with determinism.fastest_convolutions(images, machine.device):
        with clock.part("startup"):
            machine = _choose(prepared, machine)
        decided = {"strategy_options": prepared.config.strategy_options, **machine.chosen(), **settings}
        config = replace(prepared.model.task.config, **decided)
        state = TrainState(data={name: table.ordered() for name, table in prepared.tables.items()})
        scaler = Scaler(machine.device, machine.precision)
        training = Training(config, machine, folder.path, state, prepared.cache, stop, clock, scaler, heads)
        report.known |= {"data": prepared.data, "findings": [finding.as_dict() for finding in prepared.findings]}
        start = anchoring.start_of(prepared.model, prepared.plan)  # before a checkpoint takes its place
        moments = begin(training, prepared, folder, lock, report)
        try:
            with clock.part("train"):
                outcome = phases.train(training, prepared.model, prepared.splits, prepared.plan, moments, start)
                if outcome.status == "stopped":  # it is said that the run can go on
                    settle(training)
            training.scaler.tell(state)
            report.known |= _about(training, prepared, outcome)
            yield training, outcome
        finally:
            training.saver.close()


def _choose(prepared: Prepared, machine: Machine) -> Machine:
    """Micro-batches, precision and layout, where the settings leave them open: by what this device has and does."""
    model, train, plan = prepared.model, prepared.splits.train, prepared.plan
    by_device = model.task.input.by_device
    if by_device:
        budget.choose(machine, model, train, plan)  # the trial's steps must fit
    tried = trial.choose(prepared.config, machine, model, train, plan)
    if by_device and tried.chosen() != machine.chosen():
        budget.choose(tried, model, train, plan)
    return tried


def _stop(config: RunConfig, clock: Clock, splits: Splits, signals: Sequence[int]) -> Stop:
    """A signal ends training, and so do --stop-after and --max-minutes, of which scoring takes its share."""
    last = float("inf") if config.stop_after is None else config.stop_after
    if config.max_minutes is None:
        return Stop(signals, last=last)
    coming = len(splits.validation or ()) * 2 + len(splits.test or ())
    return Stop(signals, clock.started + 60.0 * config.max_minutes, coming, last)


def _claim(folder: RunFolder, lock: Lock) -> None:
    """Takes the lock of a folder that is there."""
    if folder.path.is_dir():
        lock.acquire()


def begin(
    training: Training, prepared: Prepared, folder: RunFolder, lock: Lock, report: Report
) -> dict[str, Tensor] | None:
    """Makes the run folder, writes what is known before the first step, and puts the newest checkpoint, where the run
    goes on with one, into state and model; returns the optimiser's tensors of that."""
    config, state, accelerator = training.config, training.state, training.machine.accelerator
    point = checkpoint.newest(folder.checkpoints) if config.resume else None
    if point is not None:
        checkpoint.refuse_other_version(point, folder.path)
        recorded = (checkpoint.state_of(point) or {}).get("data", {})
        provenance.check(recorded, state.data, folder.path)
    if not config.resume:
        provenance.warn_of_change(config, dict(prepared.tables))
    saved = config.as_dict() | {"threads": training.machine.threads, "resume": False, "overwrite": False}
    processes.together(accelerator, lambda: _write_first(training, folder, lock, report, saved))
    moments = None
    if point is not None:
        moments = checkpoint.restore(point, state, prepared.model, prepared.model.trained(prepared.plan))
        training.clock.earlier = state.spent
        training.scaler.take(state)
        logger.info("going on after step %d (%s)", state.steps_done, point)
    if training.machine.is_main:
        if point is not None:
            checkpoint.point(point.parent, point.name)
        folder.cut_log(state.steps_done)
    tracking.start(accelerator, config.track, folder.path, saved, state.steps_done)
    accelerator.wait_for_everyone()
    return moments


def _write_first(
    training: Training, folder: RunFolder, lock: Lock, report: Report, settings: Mapping[str, Any]
) -> None:
    """Makes the run folder, locks it, and writes settings and environment."""
    config = training.config
    folder.make()
    lock.acquire()  # before anything is removed: another run may have begun here since the folder was checked
    if not config.resume:
        folder.empty(config.overwrite, config.as_dict())
    report.begun = True
    report.known["device"] = device(training.machine.device.type)
    folder.write(folder.path / "environment.json", environment(training.machine.threads))
    folder.write(folder.config, settings)


def _about(training: Training, prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """What result.json says of a run that has been trained."""
    model = outcome.model
    return {
        "backbone": {
            "name": model.backbone.name,
            "source": model.backbone.source,
            "sha256": prepared.backbone_sha256,
            "parameters": sum(p.numel() for p in model.backbone.parameters()),
        },
        "parameters": count_parameters(model, model.trained(prepared.plan)),
        "phases": training.state.phases,
        "throughput": throughput(model.task, training.state, training.cache.figures, training.clock.spent()),
        "cache": training.cache.about(),
        "precision": training.machine.about(),
    }


def score(training: Training, outcome: Outcome, folder: RunFolder, report: Report) -> None:
    """Saves the model, then scores it on validation and test, with its predictions.

    The model is written first: whatever goes wrong with the data while it is scored, it is there.
    """
    machine, model, splits = training.machine, outcome.model.starting(), outcome.splits
    task, metrics, errors = model.task, dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()

    def measure(split: str, examples: Examples, records: Records) -> None:
        scores = task.target.measure(records)
        metrics[split] = {name: value.as_dict() for name, value in scores.items()}
        if machine.is_main:
            records = task.annotate(examples.rows, records)
            folder.write_predictions(split, records)
            errors[split] = task.target.errors(records)
        if split == "test":
            training.track(tracking.numbers(split, {name: score.value for name, score in scores.items()}))

    if machine.is_main:
        save_adapters(folder, model)
    adapters.merge(model.backbone)  # what is scored is what is saved, to the bit
    if machine.is_main:
        save_model(folder, model)
    with training.clock.part("evaluate"):
        chosen = outcome.records
        if chosen is None and splits.validation is not None:
            validation = splits.validation
            chosen = task.target.settle(lambda: _records(model, validation, "validation", machine, folder.path))
        if chosen is not None:
            chosen = task.target.calibrate(chosen)
        if machine.is_main:  # again, with what validation has tuned
            write_task(folder, model)
        if chosen is not None:
            measure("validation", splits.validation or splits.train, chosen)
        if splits.test is not None:
            measure("test", splits.test, _records(model, splits.test, "test", machine, folder.path))
    split = "test" if "test" in metrics else "validation"
    value = metrics[split][task.target.primary]["value"] if split in metrics else None
    report.known |= {"metrics": metrics, "primary": {"name": task.target.primary, "split": split, "value": value}}
    report.known["errors"] = {name: found for name, found in errors.items() if found}


def _records(model: Model, examples: Examples, split: str, machine: Machine, folder: Path) -> Records:
    try:
        return evaluate(model, examples, machine, split)
    except MMTransferError as error:
        kept = f"{error.do}; the model is kept: mmtransfer evaluate {folder} --test DATA"
        raise MMTransferError(f"No scores on {split} data: {error.what}", error.where, kept) from None


def settle(training: Training) -> None:
    """Waits until the last checkpoint is on disk; raises what kept it from there, in every process."""
    with training.clock.part("checkpoint"):
        processes.together(training.machine.accelerator, training.saver.wait)


def finish(training: Training, folder: RunFolder, report: Report) -> None:
    """Writes the result of a run that has succeeded, which needs no checkpoints any more."""
    settle(training)
    report.write("finished")
    if training.machine.is_main:
        card.write(folder)
    if training.machine.is_main and not training.config.keep_checkpoints:
        checkpoint.remove(folder.checkpoints)
    training.machine.accelerator.wait_for_everyone()
