"""What a run would do, and what it would take, without doing it: `--dry-run`."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmtransfer.config import RunConfig
from mmtransfer.data.plan import Plan
from mmtransfer.engine import cache_policy, memory, pace, processes
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.states import States
from mmtransfer.preparation import Prepared, prepare
from mmtransfer.rank import speed
from mmtransfer.reporting import count_parameters
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder
from mmtransfer.strategies import Exact, Phase

logger = logging.getLogger("mmtransfer")


@dataclass(frozen=True)
class Stretch:
    """A phase as it would be."""

    name: str
    stages: Sequence[int]
    """That train; the head always does."""
    epochs: int
    steps: int
    seconds: float
    stored: bool
    """Whether it would read stored states of the stages before."""


@dataclass(frozen=True)
class Rehearsal:
    """What a run would take; seconds are measured on a few micro-batches, and with each step as long as those."""

    splits: Mapping[str, int]
    """Examples, by split."""
    sources: Mapping[str, str]
    """Where they come from."""
    backbone: str
    parameters: Mapping[str, int]
    """`total` and `trainable`."""
    phases: Sequence[Stretch]
    seconds: Mapping[str, float]
    """`startup`, `train`, `evaluate`, `total`."""
    memory: int
    """Bytes at the peak, of the device where there is one, else of this process."""
    disk: Mapping[str, int]
    """Bytes of the `model`, of `checkpoints` while it trains, and of stored `features` in the cache."""


def dry_run(config: RunConfig | None = None, **fields: Any) -> Rehearsal:
    """Looks at data and model of a run, and measures a few steps; nothing is written, and no test example is scored.

    `config` and `fields` as `fit` takes them. Raises MMTransferError for what `fit` would refuse before its first step.

    >>> data = {"train": "train.csv", "test": "test.csv", "backbone": "path/to/bert"}
    >>> plan = mmt.dry_run(task="text-classification", **data, epochs=2)
    >>> plan.splits["train"], [(phase.name, phase.epochs) for phase in plan.phases]
    (27, [('full', 2)])
    """
    begun = time.monotonic()
    config = resolve(config, **fields)
    if config.out is not None and not config.resume:
        RunFolder(Path(config.out)).check(config.overwrite, config.as_dict())
    machine = Machine.set_up(config, processes.accelerator())
    # what reading data keeps for later runs goes with the folder
    with tempfile.TemporaryDirectory() as place:
        prepared = prepare(replace(config, cache_dir=place), machine)
        return _rehearsed(prepared, machine, time.monotonic() - begun)


def _rehearsed(prepared: Prepared, machine: Machine, startup: float) -> Rehearsal:
    config, model, splits = prepared.config, prepared.model, prepared.splits
    model.backbone.freeze(range(len(model.backbone.stages)))
    examples_per_second = speed(model.eval(), splits.train, machine)
    counts = {name: len(split) for name, split in splits.by_name().items()}
    held = sum(count for name, count in counts.items() if name != "train")
    parameters = count_parameters(model, model.trained(prepared.plan))
    features = float(States(model, splits.train, machine, model.end).sizes().sum())
    phases, moments = [], 0
    for phase in prepared.plan:
        if isinstance(phase.solver, Exact):
            seconds = sum(counts.values()) / examples_per_second + pace.solving(
                model, splits.train, phase.solver, machine
            )
            phases.append(Stretch(phase.name, (), 0, 0, seconds, stored=True))
        else:
            stretch, taken = _looped(prepared, machine, phase, examples_per_second)
            phases.append(stretch)
            moments = max(moments, taken)
    train, evaluate = sum(phase.seconds for phase in phases), held / examples_per_second
    disk = {"model": 4 * parameters["total"], "checkpoints": 3 * (moments + 4 * parameters["trainable"])}
    disk["features"] = round(features * sum(counts.values()) / max(1, counts["train"])) if phases[0].stored else 0
    return Rehearsal(
        splits=counts,
        sources={name: str(about["source"]) for name, about in prepared.data.items()},
        backbone=model.backbone.name,
        parameters=parameters,
        phases=phases,
        seconds={"startup": startup, "train": train, "evaluate": evaluate, "total": startup + train + evaluate},
        memory=memory.device_peak_bytes() or memory.peak_bytes(),
        disk=disk if config.cache != "off" else {**disk, "features": 0},
    )


def _looped(prepared: Prepared, machine: Machine, phase: Phase, examples_per_second: float) -> tuple[Stretch, int]:
    """A phase by steps, and the bytes of its optimiser."""
    config, splits, task = prepared.config, prepared.splits, prepared.model.task
    measured = pace.measure(config, machine, prepared.model, splits.train, phase)
    units = float(splits.train.lengths.sum())
    frozen = min(phase.trains.stages, default=1) > 0
    stored = frozen and config.cache != "off" and cache_policy.obstacle(phase, task) is None
    stored = stored and phase.epochs > 1
    validated = len(splits.validation or ()) / examples_per_second
    seconds = phase.epochs * (measured.epoch(units, stored) + validated) + (units * measured.frozen if stored else 0.0)
    steps = Plan(splits.train.lengths, config.batch_size, task.input.budget(), config.seed).steps_per_epoch
    stages = tuple(phase.trains.stages)
    return Stretch(phase.name, stages, phase.epochs, phase.epochs * steps, seconds, stored), measured.bytes
