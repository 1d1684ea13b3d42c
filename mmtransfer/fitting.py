"""One call of `fit`: from settings to a run folder."""

from __future__ import annotations

import dataclasses
import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from mmtransfer import backbones, disk, launcher, strategies
from mmtransfer.backbones import manifest, weights
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cache import settings as cache_settings
from mmtransfer.config import RunConfig, flag
from mmtransfer.data import overlap, sources
from mmtransfer.data.overlap import Finding
from mmtransfer.data.sources import Table
from mmtransfer.engine import caching, checkpoint, exact, memory, phases, precision, processes, provenance, tracking
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.loading import Examples, examples_of
from mmtransfer.engine.loop import Job
from mmtransfer.engine.signals import Interrupted, collected
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.lock import Lock
from mmtransfer.resolution import planned
from mmtransfer.run import RunFolder, environment, header
from mmtransfer.seeding import number
from mmtransfer.tasks import TASKS, Task

logger = logging.getLogger("mmtransfer")


class _Warnings(logging.Handler):
    """Collects what was said as a warning, for result.json."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Fitting:
    """One call of `fit`, step by step in the order of `run`."""

    config: RunConfig
    accelerator: Accelerator
    folder: RunFolder
    seconds: dict[str, float] = field(default_factory=dict)
    earlier: Mapping[str, float] = field(default_factory=dict)
    """Seconds by part of the starts before this one, up to the checkpoint it goes on from."""
    started: float = field(default_factory=time.time)
    created: bool = False
    """Whether the run folder is this run's: what goes wrong before leaves nothing behind."""
    aloud: bool = True
    """Whether what is found about the data is told."""
    data: Mapping[str, Any] | None = None
    """What result.json says of the data; known before the first step."""
    findings: list[Finding] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)
    """What result.json says of a run that has been trained."""

    def run(self) -> None:
        """Trains, scores, and writes the run folder."""
        self.warnings = _Warnings()
        self.lock = Lock(self.folder.path)
        logger.addHandler(self.warnings)
        try:
            if self.config.resume or self.config.overwrite:  # a folder that is there: before minutes are spent on it
                processes.together(self.accelerator, self._claim)
            with collected() as received:
                self._run(received)
        except Exception as error:
            if self.created:
                lines = [*self.warnings.lines, f"{type(error).__name__}: {error}"]
                with suppress(MMTransferError):  # what is wrong may be the disk
                    self._write("failed", {**self.about, "warnings": lines})
            if disk.refuses(error):
                raise disk.refused(error, self.folder.path) from error
            raise
        finally:
            self.lock.release()
            tracking.finish(self.accelerator)
            logger.removeHandler(self.warnings)

    def _claim(self) -> None:
        """Takes the lock of a folder that is there."""
        if self.folder.path.is_dir():
            self.lock.acquire()

    def _begin(self, saved: Mapping[str, Any]) -> None:
        """Makes the run folder, locks it, and writes what is known before the first step."""
        folder, config = self.folder, self.config
        folder.make()
        self.lock.acquire()  # before anything is removed: another run may have begun here since the folder was checked
        if not config.resume:
            folder.empty(config.overwrite, config.as_dict())
        self.created = True
        folder.write(folder.path / "environment.json", environment(self.threads))
        folder.write(folder.config, saved)

    def prepare(self, received: Sequence[int] = ()) -> tuple[Job, list[strategies.Phase], dict[str, Table]]:
        """All that comes before the first step; nothing is written but digests of files, which the cache remembers.

        `received`: signals, as they come in.
        """
        config, accelerator = self.config, self.accelerator
        local = launcher.local_processes()
        self.threads = precision.set_threads(config.threads, local)
        self.allocator = precision.tune_allocator()
        precision.warn_of_lone_process()
        precision.warn_of_emulation(config.precision, accelerator.device)
        torch.manual_seed(number(config.seed, "backbone"))
        with self._timed("startup"):
            task_class = TASKS[config.task]
            for split in ("train", "validation", "test"):  # said before a backbone is loaded, which may take minutes
                whose = f"{self.folder.config}: " if config.resume else ""
                sources.refuse_missing(getattr(config, split), whose + flag(split))
            backbone = backbones.load(config.backbone, config.weights, task_class.modality)
            self.backbone_sha256 = weights.sha256(backbone)
            plan = planned(config, len(backbone.stages))
            if config.augment == "auto":
                looped = [phase for phase in plan if phase.solver == "loop"]
                whole = bool(looped) and all(phase.stages and min(phase.stages) == 0 for phase in looped)
                self.config = config = dataclasses.replace(config, augment="light" if whole else "none")
            self.task = task = task_class.make(config, backbone)
            self.config = config = task.config
            caching.refuse(config.cache, plan, task)
            cache = cache_settings.make(config.cache, config.cache_dir, config.cache_limit)
        with self._timed("data"):
            tables = self._tables(not all(phase.folds for phase in plan), cache.store.root)
            task.prepare(tables["train"])
            exact.check(plan, task)
            tables = {split: task.check(table, split) for split, table in tables.items()}
            if config.shots == 0:  # all that was wanted of them is the classes' names
                tables["train"] = tables["train"].select([])
            examples = {split: examples_of(task, table) for split, table in tables.items()}
            examples["train"] = dataclasses.replace(examples["train"], weights=task.weights(tables["train"]))
            # all that result.json says of the data is known from here on: their files may go when nothing reads them
            self.data = provenance.about(tables)
        torch.manual_seed(number(config.seed, "head"))
        head = task.head(backbone.width)
        backbone.to(accelerator.device)
        head.to(accelerator.device)
        state = TrainState(data={split: table.ordered() for split, table in tables.items()})
        job = Job(
            config=config,
            task=task,
            backbone=backbone,
            head=head,
            train=examples["train"],
            validation=examples.get("validation"),
            accelerator=accelerator,
            folder=self.folder.path,
            workers=config.workers,
            state=state,
            interrupted=lambda: bool(received),
            expired=self._deadline(state, examples),
            test=examples.get("test"),
            cache=cache,
        )
        return job, plan, tables

    def _run(self, received: list[int]) -> None:
        job, plan, tables = self.prepare(received)
        config, accelerator, state = job.config, job.accelerator, job.state
        point = checkpoint.newest(self.folder.checkpoints) if config.resume else None
        if point is not None:
            recorded = (checkpoint.state_of(point) or {}).get("data", {})
            provenance.check(recorded, state.data, self.folder.path)
        if not config.resume:
            provenance.warn_of_change(config, tables)
        saved = config.as_dict() | {"threads": self.threads, "resume": False, "overwrite": False}
        processes.together(accelerator, lambda: self._begin(saved))
        moments = None
        if point is not None:
            model = Trained(job.backbone, job.head, job.task, (), config.precision)
            moments = checkpoint.restore(point, state, model, phases.stages_of(plan))
            self.earlier = state.spent
            logger.info("going on after step %d (%s)", state.steps_done, point)
        if accelerator.is_main_process:
            if point is not None:
                checkpoint.point(point.parent, point.name)
            self.folder.cut_log(state.steps_done)
        tracking.start(accelerator, config.track, self.folder.path, saved, state.steps_done)
        accelerator.wait_for_everyone()
        begun = time.monotonic()
        job.spent = lambda: self._over_all_starts(
            {"train": time.monotonic() - begun - job.cache.seconds, "cache": job.cache.seconds}
        )
        with self._timed("train"):
            status = phases.train(job, plan, moments)
        self.seconds["cache"] = job.cache.seconds
        self.seconds["train"] -= job.cache.seconds
        self.about = self._about(job, plan)
        if status == "stopped":
            self._write("stopped", self.about)
            command = f"mmtransfer fit {config.task} --resume --out {self.folder.path}"
            raise Interrupted(received[0] if received else signal.SIGTERM, command, self.folder.path)
        self._finish(job)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun

    def _over_all_starts(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """`seconds` and those known already, with those of earlier starts."""
        known = {**self.seconds, **seconds, "total": time.time() - self.started}
        return {name: value + self.earlier.get(name, 0.0) for name, value in known.items()}

    def _tables(self, cut: bool, memory: Path) -> dict[str, Table]:
        """The tables of train, validation (given, or to be cut from train) and (where given) test."""
        main = self.accelerator.is_main_process
        tables, self.findings = provenance.read_tables(self.config, self.task, cut, memory, main)
        if main:
            counts = ", ".join(f"{split} {len(table)}" for split, table in tables.items())
            logger.info("data: %s", counts)
            if self.findings and self.aloud:
                logger.warning(overlap.block(self.findings))
        return tables

    def _deadline(self, state: TrainState, examples: Mapping[str, Examples]) -> Any:
        """Whether the budget leaves no more time than validation and test need, at the speed of training."""
        if self.config.max_minutes is None:
            return lambda: False
        budget = 60.0 * self.config.max_minutes
        coming = len(examples.get("validation", ())) * 2 + len(examples.get("test", ()))

        def expired() -> bool:
            a_pass = coming * state.seconds / max(1, state.examples)
            return time.time() - self.started + a_pass > budget

        return expired

    def _about(self, job: Job, plan: Sequence[strategies.Phase]) -> dict[str, Any]:
        config, state = self.config, job.state
        trained = {id(p): p for p in job.head.parameters()}
        for stage in phases.stages_of(plan):
            trained |= {id(p): p for p in job.backbone.stages[stage].parameters()}
        own, head = (sum(p.numel() for p in module.parameters()) for module in (job.backbone, job.head))
        return {
            "backbone": {
                "name": job.backbone.name,
                "source": job.backbone.source,
                "sha256": self.backbone_sha256,
                "parameters": own,
            },
            "parameters": {"total": own + head, "trainable": sum(p.numel() for p in trained.values())},
            "phases": state.phases,
            "throughput": _throughput(job),
            "cache": job.cache.about(),
            "precision": {"dtype": config.precision, "layout": "contiguous", "allocator": self.allocator, "tried": {}},
        }

    def _finish(self, job: Job) -> None:
        """Scores the best model on validation and test, and writes all that the run folder keeps.

        The model is written first: whatever goes wrong with the data while it is scored, it is there.
        """
        task, folder = job.task, self.folder
        model = Trained(job.backbone, job.head, task, (), self.config.precision)
        metrics: dict[str, dict[str, Any]] = {}
        if self.accelerator.is_main_process:
            save_model(folder, self.config, task, job.backbone, job.head)
        with self._timed("evaluate"):
            for split, examples in (("validation", job.validation), ("test", job.test)):
                records: Mapping[str, list[Any]] | None = job.selected if split == "validation" else None
                if records is None and examples is not None:
                    found = self._scored(model, examples, job.workers, split)
                    records = task.tune(found) if split == "validation" else found
                if split == "validation" and self.accelerator.is_main_process:  # again, with what it has tuned
                    write_task(folder, self.config, task)
                if records is not None:
                    scores = task.measure(records)
                    metrics[split] = {name: score.as_dict() for name, score in scores.items()}
                    if self.accelerator.is_main_process:
                        folder.write_predictions(split, task.annotate(records))
        if "test" in metrics:
            job.track(tracking.numbers("test", scores))
        split = "test" if "test" in metrics else "validation"
        value = metrics[split][task.primary]["value"] if split in metrics else None
        primary = {"name": task.primary, "split": split, "value": value}
        self._write("finished", {**self.about, "metrics": metrics, "primary": primary})
        if self.accelerator.is_main_process and not self.config.keep_checkpoints:
            checkpoint.remove(folder.checkpoints)
        self.accelerator.wait_for_everyone()

    def _scored(self, model: Trained, examples: Examples, workers: int, split: str) -> Mapping[str, list[Any]]:
        try:
            return evaluate(model, examples, self.accelerator, workers, split)
        except MMTransferError as error:
            kept = f"{error.do}; the model is kept: mmtransfer evaluate {self.folder.path} --test DATA"
            raise MMTransferError(f"No scores on {split} data: {error.what}", error.where, kept) from None

    def _write(self, status: str, known: Mapping[str, Any]) -> None:
        """result.json: all keys always there."""
        if not self.accelerator.is_main_process:
            return
        seconds = self._over_all_starts({})
        parts = ("total", "startup", "data", "cache", "train", "evaluate")
        content: dict[str, Any] = {
            **header(),
            "status": status,
            "task": self.config.task,
            "seed": self.config.seed,
            "command": sys.argv,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": {name: seconds.get(name, 0.0) for name in parts},
            "data": self.data,
            "findings": [finding.as_dict() for finding in self.findings],
            "backbone": None,
            "strategy": {"name": self.config.strategy, "options": dict(self.config.strategy_options)},
            "parameters": None,
            "phases": [],
            "metrics": {},
            "primary": None,
            "throughput": None,
            "memory": {"peak_bytes": memory.peak_bytes(), "device_peak_bytes": memory.device_peak_bytes()},
            "precision": None,
            "cache": None,
            "warnings": self.warnings.lines,
        }
        self.folder.write(self.folder.result, content | dict(known))


def _throughput(job: Job) -> dict[str, float | None]:
    """Examples and units a second of training; where nothing but an exact head was found, of the pass through the
    frozen stages, 0.0 if its features were there already."""
    state, cache = job.state, job.cache
    if state.examples:
        examples, units, seconds = state.examples, state.units, state.seconds
    else:
        examples, units, seconds = cache.passed, cache.passed_units, cache.pass_seconds
    length = None if job.task.modality == "image" else units * job.task.unit / max(1e-9, seconds)
    return {
        "examples_per_second": examples / max(1e-9, seconds),
        "tokens_or_seconds_of_audio_per_second": length,
        "stall_share": state.stalled / max(1e-9, state.seconds),
    }


def save_model(folder: RunFolder, config: RunConfig, task: Task, backbone: Backbone, head: nn.Module) -> None:
    """Writes model/: backbone, head and task, and last of all what it holds."""
    from safetensors.torch import save_file

    frozen = not any(parameter.requires_grad for parameter in backbone.parameters())
    with disk.writing(folder.model / weights.TENSORS):
        folder.model.mkdir(exist_ok=True)
        manifest.remove(folder.model)
        weights.save(backbone, folder.model, folder.store if frozen else None)
    tensors = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    with disk.writing(folder.model / "head.safetensors"):
        save_file(tensors, folder.model / "head.safetensors")
    with disk.writing(folder.model / "config.json"):
        task.export(folder.model, backbone, head)
    write_task(folder, config, task)


def write_task(folder: RunFolder, config: RunConfig, task: Task) -> None:
    """Writes model/task.json: labels or vocabulary, and what validation has tuned."""
    folder.write(folder.model / "task.json", {"task": config.task, "state": task.state()})
    manifest.write(folder.model)
