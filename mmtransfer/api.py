"""`fit(...)` makes a run, `load(folder)` opens one; a Run predicts and evaluates."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from mmtransfer import backbones, strategies
from mmtransfer.backbones import carried, weights
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cache import key as keys
from mmtransfer.cache import settings as cache_settings
from mmtransfer.config import RunConfig, make, read
from mmtransfer.data import sources
from mmtransfer.data.assembly import assemble
from mmtransfer.data.sources import Table
from mmtransfer.defaults import DEFAULTS
from mmtransfer.embedding import Features, features_of
from mmtransfer.engine import caching, checkpoint, exact, memory, phases, precision, sharding, tracking
from mmtransfer.engine.evaluation import Records, evaluate
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.loop import Job
from mmtransfer.engine.signals import Interrupted, collected
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score
from mmtransfer.resolution import planned, resolve
from mmtransfer.run import SCHEMA, RunFolder, default_name, environment
from mmtransfer.seeding import number
from mmtransfer.tasks import TASKS, Prediction, Task

logger = logging.getLogger("mmtransfer")


def fit(config: RunConfig | None = None, **fields: Any) -> Run:
    """Trains a model and writes its run folder.

    `config`: all settings, or None; `fields`: settings by name, before those of `config`. `strategy` may be a name or
    a strategy object such as `strategies.Partial(n=2)`; data may be paths, `builtin:NAME` or lists of rows.
    Raises MMTransferError for what a user can mend, before the first step where it can be known then.
    """
    config = resolve(config, **fields)
    tracking.check(config.track)
    sharding.refuse()
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    sharding.refuse(accelerator.distributed_type)
    out = broadcast_object_list([config.out or default_name(config.task)])[0]
    config = dataclasses.replace(config, out=str(out))
    folder = RunFolder(Path(out))
    if config.resume and folder.result.exists() and folder.read_result()["status"] == "finished":
        logger.info("%s has finished; nothing to resume", folder.path)
        return load(folder.path)
    if accelerator.is_main_process and not config.resume:
        folder.check(config.overwrite)
    return _Fit(config, accelerator, folder).run()


def prepare(config: RunConfig) -> Job:
    """What a run with these settings starts from: backbone, new head, splits. Nothing is written."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    return _Fit(config, accelerator, RunFolder(Path(os.devnull))).prepare()[0]


def load(folder: str | Path) -> Run:
    """Opens a run; raises MMTransferError if the folder is no run or the run has not ended."""
    place = RunFolder(Path(folder))
    return Run(place, place.read_result(), make(read(place.config), str(place.config)))


def evaluate_backbone(backbone: str, test: Any, weights: str | None = None) -> dict[str, Score]:
    """All metrics, on labelled data, of a checkpoint that carries a head, without any training.

    `backbone`: a torchvision network, or a folder or hub name of transformers with a text classifier or a CTC model;
    `weights`: of a torchvision network, the name of published weights or a file. Labels of the data are those of the
    checkpoint, case aside; the numbers of its classes where it has no names for them.
    Raises MMTransferError where there is no head, and for labels that it does not have.
    """
    found = carried.load(backbone, weights)
    name = next(name for name in TASKS if TASKS[name].modality == found.backbone.modality)
    config = make({"task": name, **DEFAULTS[name], **found.settings}, "the defaults")
    task = TASKS[name](config, found.backbone)
    head = task.adopt(found)
    table = sources.load(test, task.modality, task.columns(), False, "--test", split="test")
    table = task.check(task.match(table), "test")
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    model = Trained(found.backbone, head, task, (), config.precision).eval().to(accelerator.device)
    return task.measure(evaluate(model, _examples(task, table), accelerator, label="evaluating"))


class _Warnings(logging.Handler):
    """Collects what was said as a warning, for result.json."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class _Fit:
    """One call of `fit`, step by step in the order of `run`."""

    config: RunConfig
    accelerator: Accelerator
    folder: RunFolder
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    created: bool = False
    """Whether the run folder is this run's: what goes wrong before leaves nothing behind."""

    def run(self) -> Run:
        self.warnings = _Warnings()
        logger.addHandler(self.warnings)
        try:
            with collected() as received:
                return self._run(received)
        except Exception as error:
            if self.created:
                self._write("failed", {"warnings": [*self.warnings.lines, f"{type(error).__name__}: {error}"]})
            raise
        finally:
            tracking.finish(self.accelerator)
            logger.removeHandler(self.warnings)

    def prepare(self, received: Sequence[int] = ()) -> tuple[Job, list[strategies.Phase], dict[str, Table]]:
        """All that comes before the first step, without a trace on disk. `received`: signals, as they come in."""
        config, accelerator = self.config, self.accelerator
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.threads = precision.set_threads(config.threads, local)
        self.allocator = precision.tune_allocator()
        precision.warn_of_lone_process()
        torch.manual_seed(number(config.seed, "backbone"))
        with self._timed("startup"):
            task_class = TASKS[config.task]
            backbone = backbones.load(str(config.backbone), config.weights, task_class.modality)
            self.backbone_sha256 = weights.sha256(backbone)
            plan = planned(config, len(backbone.stages), task_class.exact(config) is not None)
            if config.augment == "auto":
                looped = [phase for phase in plan if phase.solver == "loop"]
                whole = bool(looped) and all(phase.stages and min(phase.stages) == 0 for phase in looped)
                self.config = config = dataclasses.replace(config, augment="light" if whole else "none")
            self.task = task = task_class(config, backbone)
            self.config = config = task.config
            caching.refuse(config.cache, plan, task)
            cache = cache_settings.make(config.cache, config.cache_dir, config.cache_limit)
        with self._timed("data"):
            tables = self._tables(cut=not all(phase.folds for phase in plan))
            task.prepare(tables["train"])
            exact.check(plan, task)
            tables = {split: task.check(table, split) for split, table in tables.items()}
            examples = {split: _examples(task, table) for split, table in tables.items()}
            examples["train"] = dataclasses.replace(examples["train"], weights=task.weights(tables["train"]))
        torch.manual_seed(number(config.seed, "head"))
        head = task.head(backbone.width)
        backbone.to(accelerator.device)
        head.to(accelerator.device)
        state = TrainState()
        job = Job(
            config=config,
            task=task,
            backbone=backbone,
            head=head,
            train=examples["train"],
            validation=examples.get("validation"),
            accelerator=accelerator,
            folder=self.folder.path,
            workers=int(config.workers or 0),
            state=state,
            interrupted=lambda: bool(received),
            expired=self._deadline(state, examples),
            test=examples.get("test"),
            cache=cache,
        )
        return job, plan, tables

    def _run(self, received: list[int]) -> Run:
        job, plan, tables = self.prepare(received)
        config, accelerator, state = job.config, job.accelerator, job.state
        saved = config.as_dict() | {"threads": self.threads, "resume": False, "overwrite": False}
        if accelerator.is_main_process:
            if not config.resume:
                self.folder.create(config.overwrite)
            self.created = True
            self.folder.write(self.folder.config, saved)
            self.folder.write(self.folder.path / "environment.json", environment(self.threads))
        moments = None
        point = checkpoint.newest(self.folder.checkpoints) if config.resume else None
        if point is not None:
            tensors, values = checkpoint.read(point)
            state.load_state_dict(values)
            model = Trained(job.backbone, job.head, job.task, (), config.precision)
            model.load_tensors(tensors["weights.safetensors"])
            moments = tensors.get("optimizer.safetensors")
            logger.info("going on after step %d (%s)", state.steps_done, point)
        if accelerator.is_main_process:
            self.folder.cut_log(state.steps_done)
        tracking.start(accelerator, config.track, self.folder.path, saved, state.steps_done)
        accelerator.wait_for_everyone()
        with self._timed("train"):
            status = phases.train(job, plan, moments)
        self.seconds["cache"] = job.cache.seconds
        self.seconds["train"] -= job.cache.seconds
        self.about = self._about(job, plan, tables)
        if status == "stopped":
            self._write("stopped", self.about)
            command = f"mmtransfer fit {config.task} --resume --out {self.folder.path}"
            raise Interrupted(received[0] if received else signal.SIGTERM, command, self.folder.path)
        return self._finish(job)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun

    def _tables(self, cut: bool) -> dict[str, Table]:
        """The tables of train, validation (given, or to be cut from train) and (where given) test."""
        tables = assemble(self.config, self.task.modality, self.task.columns(), self.task.strata, cut)
        if self.accelerator.is_main_process:
            counts = ", ".join(f"{split} {len(table)}" for split, table in tables.items())
            logger.info("data: %s", counts)
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

    def _about(self, job: Job, plan: Sequence[strategies.Phase], tables: Mapping[str, Table]) -> dict[str, Any]:
        config, state = self.config, job.state
        trained = {id(p): p for p in job.head.parameters()}
        for stage in phases.stages_of(plan):
            trained |= {id(p): p for p in job.backbone.stages[stage].parameters()}
        own, head = (sum(p.numel() for p in module.parameters()) for module in (job.backbone, job.head))
        units = None if job.task.modality == "image" else state.units * job.task.unit / max(1e-9, state.seconds)
        return {
            "data": {
                split: {
                    "source": table.source,
                    "n": len(table),
                    "fingerprint": keys.fingerprint(table, job.cache.store.root),
                    "skipped": list(table.skipped),
                }
                for split, table in tables.items()
            },
            "backbone": {
                "name": job.backbone.name,
                "source": job.backbone.source,
                "sha256": self.backbone_sha256,
                "parameters": own,
            },
            "parameters": {"total": own + head, "trainable": sum(p.numel() for p in trained.values())},
            "phases": state.phases,
            "throughput": {
                "examples_per_second": state.examples / max(1e-9, state.seconds),
                "tokens_or_seconds_of_audio_per_second": units,
                "stall_share": state.stalled / max(1e-9, state.seconds),
            },
            "cache": job.cache.about(),
            "precision": {"dtype": config.precision, "layout": "contiguous", "allocator": self.allocator, "tried": {}},
        }

    def _finish(self, job: Job) -> Run:
        """Scores the best model on validation and test, and writes all that the run folder keeps."""
        task, folder = job.task, self.folder
        model = Trained(job.backbone, job.head, task, (), self.config.precision)
        metrics: dict[str, dict[str, Any]] = {}
        with self._timed("evaluate"):
            for split, examples in (("validation", job.validation), ("test", job.test)):
                records: Mapping[str, list[Any]] | None = job.selected if split == "validation" else None
                if records is None and examples is not None:
                    found = evaluate(model, examples, self.accelerator, job.workers, split)
                    records = task.tune(found) if split == "validation" else found
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
        if self.accelerator.is_main_process:
            save_model(folder, self.config, task, job.backbone, job.head)
        self._write("finished", {**self.about, "metrics": metrics, "primary": primary})
        if self.accelerator.is_main_process and not self.config.keep_checkpoints:
            checkpoint.remove(folder.checkpoints)
        self.accelerator.wait_for_everyone()
        return load(folder.path)

    def _write(self, status: str, known: Mapping[str, Any]) -> None:
        """result.json: all keys always there."""
        if not self.accelerator.is_main_process:
            return
        total = time.time() - self.started
        seconds = {name: self.seconds.get(name, 0.0) for name in ("startup", "data", "cache", "train", "evaluate")}
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "status": status,
            "task": self.config.task,
            "seed": self.config.seed,
            "command": sys.argv,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": {"total": total, **seconds},
            "data": None,
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


def _examples(task: Task, table: Table) -> Examples:
    rows, lengths = task.rows(table)
    known = task.answer_column in rows.column_names
    answers = [task.answer(value) for value in table.column(task.answer_column)] if known else None
    return Examples(rows, lengths, answers, table=table)


def save_model(folder: RunFolder, config: RunConfig, task: Task, backbone: Backbone, head: nn.Module) -> None:
    """Writes model/: backbone, head and task."""
    from safetensors.torch import save_file

    folder.model.mkdir(exist_ok=True)
    frozen = not any(parameter.requires_grad for parameter in backbone.parameters())
    weights.save(backbone, folder.model, folder.store if frozen else None)
    tensors = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(tensors, folder.model / "head.safetensors")
    task.export(folder.model, backbone, head)
    folder.write(folder.model / "task.json", {"task": config.task, "state": task.state()})


@dataclass
class Run:
    """A run that has ended: its numbers, and its model, which is read at first use."""

    folder: RunFolder
    result: dict[str, Any]
    config: RunConfig

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By split and name: value, low, high, n, method."""
        return dict(self.result["metrics"])

    @cached_property
    def model(self) -> Trained:
        """Backbone and head, in eval mode."""
        from safetensors.torch import load_file

        if not (self.folder.model / "task.json").exists():
            raise MMTransferError("The run has no model", str(self.folder.path), "resume it: --resume --out RUN")
        backbone = weights.read(self.folder.model)
        task = TASKS[self.config.task](self.config, backbone)
        task.restore(json.loads((self.folder.model / "task.json").read_text(encoding="utf-8"))["state"])
        head = task.head(backbone.width)
        head.load_state_dict(load_file(self.folder.model / "head.safetensors"))
        backbone.freeze(range(len(backbone.stages)))
        return Trained(backbone, head, task, (), self.config.precision).eval()

    def predict(self, inputs: Any) -> list[Prediction]:
        """Predictions for a list of inputs (texts; image or audio files, PIL images, arrays), a file or a folder."""
        task = self.model.task
        table = self._table(inputs, labelled=False, option="the inputs")
        pieces, owners = task.pieces(table)
        records = self._records(pieces, "predicting")
        parts: list[list[dict[str, Any]]] = [[] for _ in range(len(table))]
        for place, owner in enumerate(owners):
            parts[owner].append({name: values[place] for name, values in records.items()})
        return [task.present({**task.join(own), "id": name}) for own, name in zip(parts, table.ids, strict=True)]

    def embed(self, inputs: Any) -> Features:
        """Pooled features of the backbone, for what `predict` takes; of speech the mean over the valid frames."""
        return features_of(self.model.backbone, self.model.task, self.config, inputs)

    def evaluate(self, test: Any) -> dict[str, Score]:
        """All metrics of the task on labelled data."""
        table = self.model.task.check(self._table(test, labelled=True, option="--test"), "test")
        return self.model.task.measure(self._records(table, "evaluating"))

    def _table(self, source: Any, labelled: bool, option: str) -> Table:
        task = self.model.task
        columns = task.columns()
        limit = self.config.max_seconds
        return sources.load(source, task.modality, columns, False, option, labelled, "test", limit)

    def _records(self, table: Table, label: str) -> Records:
        accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.model.to(accelerator.device)
        return evaluate(
            self.model, _examples(self.model.task, table), accelerator, int(self.config.workers or 0), label
        )
