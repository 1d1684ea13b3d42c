"""From what a user gave to a configuration without gaps: defaults, built-in data, the run that is resumed."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmtransfer import strategies
from mmtransfer.config import FIELDS, SPEECH, RunConfig, flag, make
from mmtransfer.defaults import BUILTIN, CASE, DEFAULTS, HEAD_LR_RATIO, LIKE_THE_BACKBONE, without_data
from mmtransfer.errors import MMTransferError
from mmtransfer.run import RunFolder
from mmtransfer.tasks import TASKS

logger = logging.getLogger("mmtransfer")

OTHER_PROBLEM = ("label_smoothing", "weight_decay", "augment")
"""Settings of the loop that change what is minimised."""
OTHER_WAY: tuple[str, ...] = ("epochs", "batch_size", "lr", "optimizer", "momentum", "nesterov", "schedule")
OTHER_WAY += ("warmup", "clip", "patience")
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
    "keep_checkpoints",
    "track",
    "cache",
    "cache_dir",
    "cache_limit",
}
"""Settings that a resumed run may change: none of them changes what it computes, threads aside, which it says."""


def resolve(config: RunConfig | None = None, **fields: Any) -> RunConfig:
    """The configuration with every None filled in that the task or the strategy has a default for.

    Order: `fields`, `config`, the run's own when resuming, the built-in data's choices where `train` is `builtin`, the
    task's defaults. Raises MMTransferError where there is no training data.
    """
    given = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)} if config else {}
    given = {name: value for name, value in given.items() if name == "task" or value != _default(name)} | fields
    strategy = given.get("strategy")
    if strategy is not None and not isinstance(strategy, str):
        given["strategy"] = strategies.name_of(strategy)
        given["strategy_options"] = dataclasses.asdict(strategy)
    make(given, "the settings")
    if given.get("resume"):
        given = _resumed(given)
    task = given.setdefault("task", RunConfig.task)
    TASKS[task]
    builtin: Mapping[str, Any] = {}
    ratio = LIKE_THE_BACKBONE if task == SPEECH else HEAD_LR_RATIO
    case = isinstance(given.get("train"), str) and given["train"] == CASE
    if given.get("train") is None or (case and task not in BUILTIN):
        raise without_data(task)
    if case:
        own, given["train"] = BUILTIN[task], None
        builtin = own.data if given.get("backbone") else {**own.data, **own.model}
        ratio = ratio if given.get("backbone") else LIKE_THE_BACKBONE
        if given.get("strategy") == "scratch" and not given.get("backbone"):
            builtin = {**builtin, **own.scratch}
        if given.get("fraction") is not None:  # another part of the data
            builtin = {name: value for name, value in builtin.items() if name != "shots"}
    filled = {name: value for name, value in {**DEFAULTS[task], **builtin}.items() if given.get(name) is None}
    given.update(filled)
    if given["strategy"] == "scratch":
        if given.get("weights") not in (None, "none"):
            raise MMTransferError("scratch trains from random weights", f"--weights {given['weights']}", "leave it out")
        given["weights"] = "none"
    if given.get("nesterov") and given.get("optimizer") != "sgd":
        raise MMTransferError("AdamW does not read --nesterov", "--nesterov", "leave it out, or give --optimizer sgd")
    made = strategies.make(given["strategy"], given.get("strategy_options") or {})
    given["strategy_options"] = _complete(dataclasses.asdict(made), ratio)
    if given.get("workers") is None:
        given["workers"] = min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0
    return make(given, "the settings")


def _complete(options: dict[str, Any], ratio: float) -> dict[str, Any]:
    """A strategy's options with the rate of a fresh head over the backbone's, where it has one and none was given."""
    return options | ({"head_lr_ratio": ratio} if options.get("head_lr_ratio", ratio) is None else {})


def planned(config: RunConfig, stages: int, exact: bool) -> list[strategies.Phase]:
    """The phases of the configured strategy on a backbone of `stages` stages; `exact`: whether the task has an exact
    solver.

    Where the head alone would be found exactly, settings that change what is minimised make the loop train it, aloud,
    or are refused if the exact solver was asked for; settings of how it is minimised are named as not read. What
    stands in config.json because every value does is at its default, and is neither.
    """
    made = strategies.make(str(config.strategy), config.strategy_options)
    lr, epochs = float(config.lr or 0), int(config.epochs or 1)
    plan: list[strategies.Phase] = made.plan(stages, lr, epochs, exact)
    if config.shots == 0:
        _check_zero_shot(config, plan)
    if any(phase.solver == "loop" for phase in plan):
        return plan
    other = _given(config, OTHER_PROBLEM)
    if other and config.strategy_options.get("solver") == "exact":
        raise MMTransferError(
            f"The exact solver does not read {', '.join(other)}",
            "--strategy.solver exact",
            "leave it out, or give --strategy.solver loop",
        )
    if other:
        logger.warning("the head is trained by the loop: the exact solver does not read %s", ", ".join(other))
        return list(made.plan(stages, lr, epochs, False))
    unread = _given(config, OTHER_WAY)
    if unread:
        logger.warning(
            "the head is found exactly, without %s; --strategy.solver loop would read %s",
            ", ".join(unread),
            "it" if len(unread) == 1 else "them",
        )
    return plan


def _check_zero_shot(config: RunConfig, plan: Sequence[strategies.Phase]) -> None:
    """Raises MMTransferError where no examples are to be used and something needs or would choose by them."""
    if not all(phase.prior for phase in plan):
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


def _given(config: RunConfig, names: Sequence[str]) -> list[str]:
    """The flags of these settings that are not at a default."""
    usual = DEFAULTS[config.task]
    builtin: Mapping[str, Any] = {}
    if isinstance(config.train, str) and config.train.startswith("builtin:") and config.task in BUILTIN:
        builtin = {**BUILTIN[config.task].data, **BUILTIN[config.task].model}
    found = []
    for name in names:
        value = getattr(config, name)
        harmless = (None, _default(name), usual.get(name), builtin.get(name), *(("none",) if name == "augment" else ()))
        if value not in harmless:
            found.append(flag(name))
    return found


def _default(name: str) -> Any:
    default = FIELDS[name]
    return {} if default.default is dataclasses.MISSING else default.default


def _resumed(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the run in `out`, with those replaced that a resumed run may change."""
    path = RunFolder(Path(given["out"])).config
    if not path.exists():
        raise MMTransferError(
            "There is no run to resume: config.json is missing", f"--out {given['out']}", "check --out"
        )
    # a setting may be younger than the run
    saved = {name: _default(name) for name in FIELDS} | RunFolder(Path(given["out"])).read_config(whole=True)
    if given.get("train") == CASE and str(saved["train"]).startswith("builtin:"):
        given = {name: value for name, value in given.items() if name != "train"}  # the run was started so
    for name, value in given.items():
        rows = isinstance(saved.get(name), str) and saved[name].startswith("python:")
        if name in RESUMABLE or rows:
            saved[name] = value
        elif not _agrees(name, value, saved.get(name)):
            raise MMTransferError(
                f"The run was started with {flag(name)} {saved[name]}, not {value}",
                f"{flag(name)} with --resume",
                "leave the option out, or start another run",
            )
    return saved


def _agrees(name: str, value: Any, saved: Any) -> bool:
    """Whether a setting given on resuming is the saved one, or says nothing."""
    if value is None or value == _default(name) or (name, value) == ("augment", "auto"):
        return True
    if name == "strategy_options":
        return all(wanted in (None, saved.get(option)) for option, wanted in value.items())
    return bool(json.loads(json.dumps(value, default=str)) == saved)
