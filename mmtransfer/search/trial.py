"""A trial: an ordinary run in a folder of its own that is trained up to a step, and gone on with later."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator

from mmtransfer import fitting
from mmtransfer.config import RunConfig
from mmtransfer.engine import checkpoint, keeping
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.evaluation import evaluate
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.stopping import Stop
from mmtransfer.engine.training import Heads, Outcome, Training
from mmtransfer.lock import Lock
from mmtransfer.metrics import Score
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.rank import named
from mmtransfer.reporting import Report
from mmtransfer.run import RunFolder
from mmtransfer.tasks.base import Records

logger = logging.getLogger("mmtransfer")
CHOSEN = ("precision", "layout", "micro_batch_size", "micro_batch_tokens", "micro_batch_seconds")
"""Settings that the machine may have chosen for a trial when it began."""
TOLD = (
    *("strategy", "strategy_options", "lr", "epochs", "weight_decay", "label_smoothing", "augment"),
    *("pooling", "join_validation"),
)
"""Settings that auto.json tells of a trial."""
State = Literal["waiting", "paused", "finished", "out of time", "dropped", "failed", "replaced"]


@dataclass
class Trial:
    """What is tried, how far it has come, and what it scored."""

    number: int
    backbone: str
    name: str
    """How the backbone is adapted, in words."""
    config: RunConfig
    """Of the whole run, with the test data, which a trial does not look at."""
    folder: Path
    state: State = "waiting"
    why: str = ""
    """Why it went no further."""
    steps: int = 0
    """Optimiser steps that are done."""
    best: int = 0
    """Of these, those after which the weights that are kept were validated."""
    planned: int = 0
    """Of its full schedule; 0 where the head is found exactly."""
    seconds: float = 0.0
    """Spent on it, loading and validation included."""
    trained: float = 0.0
    """Of these, in steps of training."""
    measuring: float = 0.0
    """Seconds for all scores, with intervals, of its validation data."""
    around: float = 0.0
    """Seconds for loading and scoring, the last time that it was gone on with."""
    rungs: list[dict[str, Any]] = field(default_factory=list)
    """Steps, validation score and loss each time that it was scored."""
    score: Score | None = None
    """Of validation data, the last time: of the best weights so far, which are what is kept."""
    reached: float | None = None
    """Its value for the weights of that moment, which go on: early on the best may still be those of the start."""
    records: Records | None = None
    """Behind it; of this process alone."""

    @property
    def value(self) -> float | None:
        return self.score.value if self.score else None

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{short(self.backbone)}, {self.name}"

    @property
    def last(self) -> int:
        """The step at which the search is done with it: the last one, or that before the epochs on all data."""
        return self.planned * (self.config.epochs - (self.config.join_validation or 0)) // self.config.epochs

    @property
    def counts(self) -> bool:
        """Whether it may be chosen."""
        return self.score is not None and self.state not in ("failed", "replaced")

    @property
    def loss(self) -> float:
        """Mean validation loss; of equal scores the lower one wins."""
        return float(self.rungs[-1]["loss"]) if self.rungs else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """As auto.json holds it."""
        config, score = self.config, self.score
        return {
            "number": self.number,
            "backbone": self.backbone,
            "way": self.name,
            "settings": {name: getattr(config, name) for name in TOLD},
            "state": self.state,
            "why": self.why,
            "steps": self.steps,
            "best_steps": self.best,
            "planned_steps": self.planned,
            "seconds": self.seconds,
            "training_seconds": self.trained,
            "rungs": self.rungs,
            "validation": score.as_dict() if score else None,
        }


@dataclass
class Bench:
    """What all trials of a search have in common."""

    accelerator: Accelerator
    signals: Sequence[int]
    heads: dict[str, Heads] = field(default_factory=dict)
    """Exact heads by backbone and data: one is the start of many trials."""
    machine: Machine = field(init=False)

    def set_up(self, config: RunConfig) -> None:
        """Makes the machine, as a run of these settings would."""
        self.machine = Machine.set_up(config, self.accelerator)

    def prepared(self, config: RunConfig, clock: Clock | None = None) -> Prepared:
        """What a run of these settings starts from, told quietly."""
        with quietly():
            return prepare(config, self.machine, clock, aloud=False)

    def heads_of(self, config: RunConfig) -> Heads:
        """Exact heads of this backbone and these data."""
        seen = (config.backbone, config.weights, config.pooling)
        data = (*seen, config.validation_fraction, config.shots, config.class_weights)
        return self.heads.setdefault(repr(data), {})

    def advance(self, trial: Trial, until: int, deadline: float, prepared: Prepared | None = None) -> None:
        """Trains a trial up to a step of its schedule, and scores it on validation data.

        `deadline`: time since the epoch; where it comes first the trial ends there, scored all the same. `prepared`:
        what it starts from, where that has been prepared already.
        """
        began = time.monotonic()
        folder, clock = RunFolder(trial.folder), Clock()
        own: dict[str, Any] = {"out": str(trial.folder), "resume": trial.steps > 0, "overwrite": trial.steps == 0}
        config = replace(trial.config, **own)
        with quietly():
            report, lock = Report(config, folder, clock, []), Lock(trial.folder)
            prepared = prepared or prepare(config, self.machine, clock, aloud=False)
            without_test = replace(prepared, splits=replace(prepared.splits, test=None))
            pause = until if until < trial.planned else float("inf")
            unseen = until <= trial.last or trial.steps < trial.last
            scored = 2 * len(prepared.splits.validation or ()) if unseen else 0
            stop = Stop(self.signals, deadline, scored, pause=pause)
            try:
                heads = self.heads_of(config)
                with fitting.trained(without_test, self.machine, folder, lock, report, stop, heads, own) as (
                    run,
                    outcome,
                ):
                    trial.config = replace(trial.config, **run.machine.chosen(), **_budgeted(run, outcome))
                    self._score(trial, run, outcome, outcome.model.trained(prepared.plan))
                    report.write("stopped")
            finally:
                lock.release()
                self.accelerator.free_memory()
        seconds, trained = time.monotonic() - began, run.state.seconds
        trial.around = seconds - (trained - trial.trained)
        trial.seconds, trial.trained = trial.seconds + seconds, trained

    def _score(self, trial: Trial, training: Training, outcome: Outcome, kept: Collection[str]) -> None:
        state, target, validation = training.state, outcome.model.task.target, outcome.splits.validation
        trial.steps = trial.best = state.steps_done
        trial.state = "paused" if outcome.status == "stopped" else outcome.status
        if trial.state == "paused" and not trial.steps:
            return  # a signal came before there was anything to score
        records: Records | None = outcome.records
        trial.reached = None
        if trial.state != "paused":
            trial.best = checkpoint.step_of(state.best) if state.best else trial.steps
        if records is None and validation is not None:
            model = outcome.model.starting()
            records = target.tune(evaluate(model, validation, training.machine, "validating"))
            value = trial.reached = target.values(records)[target.primary]
            if trial.state == "paused" and (value is None or not state.improves(value, target.higher_is_better)):
                # were it to end here, this would be what is kept
                keeping.load_best(training, outcome.model, kept)
                trial.best = checkpoint.step_of(state.best)
                records = target.tune(evaluate(model, validation, training.machine, "validating"))
        if records is None:
            return
        begun = time.monotonic()
        trial.records, trial.score = records, target.measure(records)[target.primary]
        trial.measuring = time.monotonic() - begun
        if trial.steps:  # a later start may compare a probe with it on these examples
            RunFolder(trial.folder).write_predictions("validation", records)
        trial.reached = trial.value if trial.reached is None else trial.reached
        loss = sum(records["loss"]) / max(1, len(records["loss"]))
        trial.rungs.append({"steps": trial.steps, **trial.score.as_dict(), "reached": trial.reached, "loss": loss})


def short(backbone: str) -> str:
    """A backbone's name without its weights, and of a long path only the end."""
    name = named(backbone)["backbone"]
    return "/".join(Path(name).parts[-2:]) if Path(name).is_absolute() else name


def _budgeted(training: Training, outcome: Outcome) -> dict[str, Any]:
    """The setting of the micro-batches, which the device's memory may have chosen: going on changes nothing."""
    name = outcome.model.task.input.budgeted
    return {name: getattr(training.config, name)}


@contextmanager
def quietly() -> Iterator[None]:
    """What runs say of themselves is not told: there would be a page of it for each trial. Warnings are told."""
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(before)


def read(found: Mapping[str, Any], config: RunConfig, folder: Path) -> Trial:
    """A trial as auto.json tells of it; `config`: what its settings lead to, but for what was chosen when it began."""
    if found["steps"]:
        saved = RunFolder(folder).read_config()
        config = replace(config, **{name: saved[name] for name in CHOSEN if saved.get(name) is not None})
    trial = Trial(int(found["number"]), found["backbone"], found["way"], config, folder)
    trial.state, trial.why, trial.steps, trial.planned = (found[k] for k in ("state", "why", "steps", "planned_steps"))
    trial.best = int(found["best_steps"])
    trial.seconds, trial.trained = float(found["seconds"]), float(found["training_seconds"])
    trial.rungs = list(found["rungs"])
    if found["validation"]:
        trial.score = Score.of(found["validation"])
        trial.reached = trial.rungs[-1]["reached"] if trial.rungs else trial.value
        trial.records = RunFolder(folder).read_predictions("validation")
    return trial
