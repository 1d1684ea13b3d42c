"""All that comes before the first step of a run; nothing is written but digests of files, which the cache remembers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmtransfer import backbones, strategies
from mmtransfer.backbones import adapters, weights
from mmtransfer.backbones.staged import Backbone
from mmtransfer.cache import settings
from mmtransfer.cache.settings import Cache
from mmtransfer.config import RunConfig, flag
from mmtransfer.data import overlap, sources
from mmtransfer.data.overlap import Finding
from mmtransfer.data.sources import Table
from mmtransfer.engine import cache_policy, exact, provenance
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.loading import examples_of
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.splits import Splits
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import planned
from mmtransfer.run import RunFolder
from mmtransfer.seeding import number
from mmtransfer.tasks import TASKS, Task

logger = logging.getLogger("mmtransfer")


@dataclass(frozen=True)
class Prepared:
    """What a run starts from."""

    config: RunConfig
    """With what it leaves to the backbone and to the strategy filled in."""
    model: Model
    """On the machine's device, with a new head."""
    splits: Splits
    plan: Sequence[strategies.Phase]
    cache: Cache
    tables: Mapping[str, Table]
    """By split, what the examples come from."""
    data: Mapping[str, Any]
    """What result.json says of them."""
    findings: Sequence[Finding]
    """What is strange about them."""
    backbone_sha256: str
    """Of the backbone's tensors before training."""


def prepare(config: RunConfig, machine: Machine, clock: Clock | None = None, aloud: bool = True) -> Prepared:
    """Backbone, new head and splits for these settings.

    `clock`: counts the parts startup and data; `aloud`: whether what is found about the data is told.
    """
    clock = clock or Clock()
    torch.manual_seed(number(config.seed, "backbone"))
    with clock.part("startup"):
        _refuse_missing_data(config)  # before a backbone is loaded, which may take minutes
        backbone = backbones.load(config.backbone, config.weights, TASKS[config.task].modality)
        sha256 = weights.sha256(backbone)
        plan = adapt(backbone, planned(config, len(backbone.stages)), config.seed)
        _refuse_nothing(backbone, plan, config.strategy)
        task = TASKS[config.task].make(_with_augmentation(config, plan), backbone)
        config = task.config
        cache_policy.refuse(config.cache, plan, task)
        cache = settings.make(config.cache, config.cache_dir, config.cache_limit)
    with clock.part("data"):
        tables, findings = provenance.read_tables(config, task, partial(_cuts, plan), cache, machine.is_main)
        plan = [_settled(phase, tables) for phase in plan]
        config = _recorded(config, plan)
        if machine.is_main:
            _tell(tables, findings if aloud else ())
        task.prepare(tables["train"])
        exact.check(plan, task)
        tables, splits = _split(config, task, tables)
        # all that result.json says of the data is known from here on: their files may go when nothing reads them
        data = provenance.about(tables)
    torch.manual_seed(number(config.seed, "head"))
    head = task.target.head(backbone.width).to(machine.device)
    model = Model(backbone.to(machine.device), head, task, machine.precision)
    return Prepared(config, model, splits, plan, cache, tables, data, findings, sha256)


def _cuts(plan: Sequence[strategies.Phase], n: int) -> bool:
    """Whether a phase needs validation data, where none is given and there are `n` examples to train on."""
    solvers = [phase.solver for phase in plan]
    return not all(isinstance(solver, strategies.Exact) and solver.few_enough(n) for solver in solvers)


def _settled(phase: strategies.Phase, tables: Mapping[str, Table]) -> strategies.Phase:
    """The phase for these data: it is known now whether folds choose."""
    if not isinstance(phase.solver, strategies.Exact):
        return phase
    return dataclasses.replace(phase, solver=phase.solver.settled(len(tables["train"]), "validation" in tables))


def _recorded(config: RunConfig, plan: Sequence[strategies.Phase]) -> RunConfig:
    """The settings with the number of folds decided, so that `--config` repeats the run."""
    options, solver = config.strategy_options, plan[0].solver
    if options.get("folds", 0) is not None or not isinstance(solver, strategies.Exact) or solver.prior:
        return config
    return dataclasses.replace(config, strategy_options={**options, "folds": solver.folds})


def _refuse_missing_data(config: RunConfig) -> None:
    whose = f"{RunFolder(Path(str(config.out))).config}: " if config.resume else ""
    for split in ("train", "validation", "test"):
        sources.refuse_missing(getattr(config, split), whose + flag(split))


def adapt(backbone: Backbone, plan: Sequence[strategies.Phase], seed: int) -> list[strategies.Phase]:
    """Puts in the adapters that phases train.

    Returns the phases. Of those that leave the first stage alone, stages in front in which nothing trains are left out,
    such as one without layers for adapters: they are frozen like those before them, and computed once.
    """
    for phase in plan:
        if phase.trains.adapters is not None:
            torch.manual_seed(number(seed, "adapters"))
            adapters.attach(backbone, phase.trains.stages, **dataclasses.asdict(phase.trains.adapters))
    return [_narrowed(phase, backbone) for phase in plan]


def _narrowed(phase: strategies.Phase, backbone: Backbone) -> strategies.Phase:
    trains, rates = phase.trains, phase.rates
    idle = 0
    if 0 not in trains.stages:
        while idle < len(trains.stages) and not backbone.selected(trains.stages[: idle + 1], trains.part):
            idle += 1
    trains = dataclasses.replace(trains, stages=trains.stages[idle:])
    return dataclasses.replace(phase, trains=trains, rates=dataclasses.replace(rates, stages=rates.stages[idle:]))


def _refuse_nothing(backbone: Backbone, plan: Sequence[strategies.Phase], strategy: str) -> None:
    """Raises MMTransferError where a phase would train a part that the backbone does not have."""
    for phase in plan:
        part = phase.trains.part
        if part != "all" and not backbone.selected(phase.trains.stages, part):
            raise MMTransferError(
                f"The stages of {backbone.name} have no {'biases' if part == 'bias' else 'normalisation'} to train",
                f"--strategy {strategy}",
                "give --strategy partial, or full",
            )


def _with_augmentation(config: RunConfig, plan: Sequence[strategies.Phase]) -> RunConfig:
    """The settings with `--augment auto` decided: light where a whole backbone is trained, else none."""
    if config.augment != "auto":
        return config
    looped = [phase.trains.stages for phase in plan if isinstance(phase.solver, strategies.Loop)]
    whole = bool(looped) and all(stages and min(stages) == 0 for stages in looped)
    return dataclasses.replace(config, augment="light" if whole else "none")


def _tell(tables: Mapping[str, Table], findings: Sequence[Finding]) -> None:
    logger.info("data: %s", ", ".join(f"{split} {len(table)}" for split, table in tables.items()))
    if findings:
        logger.warning(overlap.block(findings))


def _split(config: RunConfig, task: Task, tables: Mapping[str, Table]) -> tuple[dict[str, Table], Splits]:
    """The tables with what is used of them, and their examples."""
    checked = {split: task.check(table, split) for split, table in tables.items()}
    if config.shots == 0:  # all that was wanted of them is the classes' names
        checked["train"] = checked["train"].select([])
    examples = {split: examples_of(task, table) for split, table in checked.items()}
    examples["train"] = dataclasses.replace(
        examples["train"], weights=task.target.weights(checked["train"]), shares=task.target.shares(checked["train"])
    )
    return checked, Splits(**examples)
