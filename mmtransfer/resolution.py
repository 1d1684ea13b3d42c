"""From what a user gave to a configuration without gaps: defaults, built-in data, the run that is resumed.

What the user gave stays a mapping of its own until `resolve` has completed it; nobody else fills anything in.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmtransfer import strategies
from mmtransfer.backbones import outside
from mmtransfer.config import FIELDS, SPEECH, RunConfig, default_of, flag, make, reads
from mmtransfer.defaults import (
    BUILTIN,
    BY_DEVICE,
    CASE,
    DEFAULTS,
    HEAD_LR_RATIO,
    LIKE_THE_BACKBONE,
    as_given,
    without_data,
)
from mmtransfer.errors import MMTransferError
from mmtransfer.run import RunFolder
from mmtransfer.strategies.probe import FOLDS
from mmtransfer.tasks import TASKS

logger = logging.getLogger("mmtransfer")

OTHER_PROBLEM = ("label_smoothing", "weight_decay", "augment", "mixup", "cutmix", "sampling", "focal_gamma")
"""Settings of the loop that change what is minimised."""
OTHER_WAY: tuple[str, ...] = ("epochs", "batch_size", "lr", "optimizer", "momentum", "nesterov", "schedule")
OTHER_WAY += ("warmup", "clip", "ema", "patience", "join_validation")
"""Settings of the loop that change how it is minimised, but not what."""
RESUMABLE = {
    "resume",
    "overwrite",
    "based_on",
    "out",
    "threads",
    "workers",
    "max_minutes",
    "log_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "track",
    "cache",
    "cache_dir",
    "cache_limit",
}
"""Settings that a resumed run may change: none of them changes what it computes, threads aside, which it says."""


def resolve(config: RunConfig | None = None, **fields: Any) -> RunConfig:
    """The configuration with every gap filled in that the task, the strategy or the machine has a value for.

    Order: `fields`, `config`, the run's own when resuming, the built-in data's choices where `train` is `builtin`, the
    task's defaults. Raises MMTransferError where there is no training data.
    """
    own = as_given(vars(config), fields.get("task")) if config else {}
    given = own | {name: value for name, value in fields.items() if value is not None}
    strategy = given.get("strategy")
    if strategy is not None and not isinstance(strategy, str):
        given["strategy"] = strategies.name_of(strategy)
        given["strategy_options"] = dataclasses.asdict(strategy)
    if isinstance(given.get("backbone"), nn.Module):
        modality = TASKS[given.get("task", RunConfig.task)].modality
        shape = {name: given[name] for name in ("image_size",) if name in given}
        given["backbone"] = outside.offer(given["backbone"], modality, **shape)
    make(given, "the settings")
    if given.get("resume"):
        return complete(_resumed(given))
    task = given.setdefault("task", RunConfig.task)
    TASKS[task]
    builtin = isinstance(given.get("train"), str) and given["train"] == CASE  # a frame compares cell by cell
    if given.get("train") is None or (builtin and task not in BUILTIN):
        raise without_data(task)
    usual, ratio = {}, LIKE_THE_BACKBONE if task == SPEECH else HEAD_LR_RATIO
    if builtin:
        usual, ratio = _of_builtin(given), ratio if "backbone" in given else LIKE_THE_BACKBONE
        del given["train"]
    settings = {**usual, **given}
    settings["strategy_options"] = _options(settings, given, ratio)
    return complete(settings)


def complete(settings: Mapping[str, Any], where: str = "the settings") -> RunConfig:
    """The configuration of these settings with its gaps filled in: by the task's defaults, and by the machine.

    Micro-batches for a GPU are left open until `engine.budget` has seen how much of its memory the network takes.
    """
    task = settings.get("task", RunConfig.task)
    usual = DEFAULTS.get(task, {})
    if torch.cuda.is_available():
        usual = {name: value for name, value in usual.items() if name not in BY_DEVICE}
    values = {**usual, **{name: value for name, value in settings.items() if value is not None}}
    if values.get("strategy") == "scratch":
        if values.get("weights", "none") != "none":
            what = f"--weights {values['weights']}"
            raise MMTransferError("scratch trains from random weights", what, "leave it out")
        values["weights"] = "none"
    if values.get("nesterov") and values.get("optimizer") != "sgd":
        raise MMTransferError("AdamW does not read --nesterov", "--nesterov", "leave it out, or give --optimizer sgd")
    if reads("micro_batch_size", task) and not torch.cuda.is_available():  # the images of a whole step
        values.setdefault("micro_batch_size", values["batch_size"])
    return make(values, where)


def _of_builtin(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the task takes for its own built-in data, where the user says nothing else."""
    own = BUILTIN[given["task"]]
    values = {**own.data, **({} if "backbone" in given else own.model)}
    if given.get("strategy") == "scratch" and "backbone" not in given:
        values |= own.scratch
    if given.get("fraction") is not None:  # another part of the data
        values.pop("shots", None)
    return values


def _options(settings: Mapping[str, Any], given: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """The strategy's options, all of them: `ratio` is the rate of a fresh head over the backbone's, where the strategy
    has one; how a head on frozen features is found is decided here, once.

    Where the head alone would be found exactly, settings that change what is minimised make the loop train it, aloud,
    or are refused if the exact solver was asked for; settings of how it is minimised are named as not read.
    """
    task, name = settings["task"], settings.get("strategy") or DEFAULTS[settings["task"]]["strategy"]
    made = strategies.make(name, settings.get("strategy_options") or {})
    options = dataclasses.asdict(made)
    if options.get("head_lr_ratio", ratio) is None:
        options["head_lr_ratio"] = ratio
    if "solver" not in options:
        return options
    exact = TASKS[task].exact(make({"task": task, **{k: v for k, v in given.items() if k in ("target", "head")}}, ""))
    if options["solver"] == "exact" and exact is None:
        raise MMTransferError(
            "The task's loss has no exact solver", "--strategy.solver exact", "give --strategy.solver loop"
        )
    asked, options["solver"] = options["solver"], options["solver"] or ("exact" if exact else "loop")
    if options["solver"] == "exact" and made.head_only:
        options["solver"] = _solver_of_a_probe(given, asked)
    # who asks for another share held out asks for one; class names are few examples' anyway
    unsaid = options.get("folds", 0) is None and options["prior"] == "none"
    if options["solver"] == "exact" and unsaid and "validation_fraction" in as_given(given):
        options["folds"] = 0 if given["validation_fraction"] else FOLDS
    return options


def _solver_of_a_probe(given: Mapping[str, Any], asked: str | None) -> str:
    """`exact`, or `loop` where the user's settings change the problem."""
    # fit(**config) of a whole config.json gives what nobody chose as well
    chosen = [name for name, value in as_given(given).items() if (name, value) != ("augment", "none")]
    other = [flag(name) for name in OTHER_PROBLEM if name in chosen]
    if other and asked == "exact":
        raise MMTransferError(
            f"The exact solver does not read {', '.join(other)}",
            "--strategy.solver exact",
            "leave it out, or give --strategy.solver loop",
        )
    if other:
        logger.warning("the head is trained by the loop: the exact solver does not read %s", ", ".join(other))
        return "loop"
    unread = [flag(name) for name in OTHER_WAY if name in chosen]
    if unread:
        logger.warning(
            "%s %s no effect: the head of a linear probe is solved for, not trained in steps; "
            "--strategy.solver loop trains it in steps",
            ", ".join(unread),
            "has" if len(unread) == 1 else "have",
        )
    return "exact"


def planned(config: RunConfig, stages: int) -> list[strategies.Phase]:
    """The phases of the configured strategy on a backbone of `stages` stages."""
    made = strategies.make(config.strategy, config.strategy_options)
    phases: list[strategies.Phase] = made.plan(stages, config.lr, config.epochs)
    _check_plan(phases, stages, config.strategy)
    plan = [
        dataclasses.replace(phase, average=config.ema) if isinstance(phase.solver, strategies.Loop) else phase
        for phase in phases
    ]
    if config.join_validation is not None and isinstance(plan[-1].solver, strategies.Loop):
        _check_joined(config, plan[-1])
        plan[-1] = dataclasses.replace(plan[-1], joined=config.join_validation)
    if config.shots == 0:
        _check_zero_shot(config, plan)
    return plan


def _check_plan(phases: Sequence[strategies.Phase], stages: int, name: str) -> None:
    """Raises MMTransferError for what a strategy of somebody's own plans and nobody can do."""
    listed = isinstance(phases, list | tuple) and phases and all(isinstance(one, strategies.Phase) for one in phases)
    if not listed:
        raise MMTransferError(f"The strategy {name} plans no phases", f"--strategy {name}", "return a list of Phase")
    for phase in phases:
        if not set(phase.trains.stages) <= set(range(stages)):
            raise MMTransferError(
                f"The phase {phase.name} trains the stages {phase.trains.stages}, and the backbone has {stages}",
                f"--strategy {name}",
                f"plan stages from 0 to {stages - 1}",
            )
        if len(phase.rates.stages) != len(phase.trains.stages):
            raise MMTransferError(
                f"The phase {phase.name} has {len(phase.rates.stages)} rates for {len(phase.trains.stages)} stages",
                f"--strategy {name}",
                "plan a rate for each stage that trains",
            )


def _check_joined(config: RunConfig, phase: strategies.Phase) -> None:
    """Raises MMTransferError where validation data are to be trained on that something else needs."""
    joined, where = config.join_validation or 0, f"--join-validation {config.join_validation}"
    if joined >= phase.epochs:
        do = f"give 1 to {phase.epochs - 1}" if phase.epochs > 1 else "leave it out, or give more --epochs"
        what = f"{joined} of the {phase.epochs} epochs of the phase {phase.name} leave none to be scored"
        raise MMTransferError(what, where, do)
    if phase.average is not None or phase.mix:
        other = "--ema" if phase.average is not None else f"--strategy {config.strategy}"
        raise MMTransferError(f"{other} chooses by validation data in the end", where, "leave one of the two out")


def _check_zero_shot(config: RunConfig, plan: Sequence[strategies.Phase]) -> None:
    """Raises MMTransferError where no examples are to be used and something needs or would choose by them."""
    if not all(isinstance(phase.solver, strategies.Exact) and phase.solver.prior for phase in plan):
        raise MMTransferError(
            "Without examples there are only the classes' names to go by",
            "--shots 0",
            "give --strategy linear-probe --strategy.prior names, or --shots 1 or more",
        )
    options = config.strategy_options
    unread = {
        "--target": config.target != "single-label",
        "--class-weights": config.class_weights != "none",
        "--strategy.folds": options.get("folds") is not None,
        "--strategy.layer": options.get("layer", "last") != "last",
    }
    for name in (name for name, given in unread.items() if given):
        raise MMTransferError(f"Without examples {name} has nothing to work on", "--shots 0", f"leave {name} out")


def _resumed(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the run in `out`, with those replaced that a resumed run may change."""
    folder = RunFolder(Path(given["out"]))
    if not folder.config.exists():
        raise MMTransferError(
            "There is no run to resume: config.json is missing", f"--out {given['out']}", "check --out"
        )
    # a setting may be younger than the run
    saved = {name: default_of(name) for name in FIELDS} | folder.read_config(whole=True)
    case = isinstance(given.get("train"), str) and given["train"] == CASE
    if case and str(saved["train"]).startswith("builtin:"):
        given = {name: value for name, value in given.items() if name != "train"}  # the run was started so
    for name, value in given.items():
        rows = isinstance(saved.get(name), str) and saved[name].startswith("python:")
        if name in RESUMABLE or rows:
            saved[name] = value
        elif not _agrees(name, value, saved.get(name)):
            begun = f"with {flag(name)} {saved[name]}, not {value}"
            if isinstance(value, bool):
                begun = f"{'with' if saved[name] else 'without'} {flag(name)}"
            raise MMTransferError(
                f"The run was started {begun}",
                f"{flag(name)} with --resume",
                "leave the option out, or start another run",
            )
    return saved


def _agrees(name: str, value: Any, saved: Any) -> bool:
    """Whether a setting given on resuming is the saved one, or leaves it open."""
    if (name, value) == ("augment", "auto"):
        return True
    if name == "strategy_options":
        return all(option in (None, saved.get(key)) for key, option in value.items())
    return bool(json.loads(json.dumps(value, default=str)) == saved)
