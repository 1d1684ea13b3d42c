"""result.json: what is known of a run, as it becomes known."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmtransfer.cache.settings import Figures
from mmtransfer.config import RunConfig
from mmtransfer.engine import memory
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.model import Model
from mmtransfer.engine.state import TrainState
from mmtransfer.run import RunFolder, header
from mmtransfer.tasks import Task

logger = logging.getLogger("mmtransfer")


class Report:
    """Writes result.json, with all keys whenever it is written.

    Nothing is written before `begun` is set: what goes wrong before the run folder is this run's leaves nothing behind.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, clock: Clock, warnings: list[str]) -> None:
        """`warnings`: what has been said as such already."""
        self.folder, self.clock, self.warnings = folder, clock, warnings
        self.begun = False
        self.known: dict[str, Any] = {
            "task": config.task,
            "seed": config.seed,
            "command": sys.argv,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.started)),
            "seconds": {},
            "data": None,
            "findings": [],
            "backbone": None,
            "strategy": {"name": config.strategy, "options": dict(config.strategy_options)},
            "parameters": None,
            "phases": [],
            "metrics": {},
            "primary": None,
            "errors": {},
            "throughput": None,
            "memory": {},
            "device": None,
            "precision": None,
            "cache": None,
            "warnings": self.warnings,
        }

    def write(self, status: str) -> None:
        """Writes what is known by now; `status`: finished, stopped or failed."""
        if not self.begun:
            return
        parts, seconds = ("total", "startup", "data", "cache", "train", "checkpoint", "evaluate"), self.clock.spent()
        self.known["seconds"] = {name: seconds.get(name, 0.0) for name in parts}
        self.known["memory"] = {"peak_bytes": memory.peak_bytes(), "device_peak_bytes": memory.device_peak_bytes()}
        self.folder.write(self.folder.result, {**header(), "status": status, **self.known})


@contextmanager
def hearing_warnings(lines: list[str]) -> Iterator[None]:
    """What is said as a warning meanwhile is added to `lines`."""
    ear = _Ear(lines)
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)


class _Ear(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def count_parameters(model: Model, names: Collection[str]) -> dict[str, int]:
    """How many parameters a model has, and how many train: the head's, and those of the backbone with these names."""
    trained = {id(p): p for p in model.head.parameters()}
    trained |= {id(p): p for name, p in model.backbone.named_parameters(remove_duplicate=False) if name in names}
    total = sum(p.numel() for module in (model.backbone, model.head) for p in module.parameters())
    return {"total": total, "trainable": sum(p.numel() for p in trained.values())}


def throughput(
    task: Task, state: TrainState, figures: Figures, spent: Mapping[str, float]
) -> Mapping[str, float | None]:
    """Examples and units a second of training; where nothing but an exact head was found, of the pass through the
    frozen stages, 0.0 if its features were there already. And the shares of training that went by waiting: for data,
    of the time between steps; for checkpoints, of all of it. `spent`: seconds by part of the run.
    """
    saving = spent.get("checkpoint", 0.0)
    if state.examples:
        examples, units, seconds = state.examples, state.units, state.seconds
    else:
        examples, units, seconds = figures.passed, figures.passed_units, figures.pass_seconds
    return {
        "examples_per_second": examples / max(1e-9, seconds),
        "tokens_or_seconds_of_audio_per_second": None
        if task.input.unit is None
        else units * task.input.unit / max(1e-9, seconds),
        "stall_share": state.stalled / max(1e-9, state.seconds),
        "checkpoint_share": saving / max(1e-9, saving + spent.get("train", 0.0)),
    }
