"""The flags of `fit`, made from the settings of a task and the options of a strategy, and checked before all else."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from mmtransfer import config as configuration
from mmtransfer import strategies
from mmtransfer.cli import help
from mmtransfer.cli.parsing import parsed
from mmtransfer.cli.words import plain, value_of
from mmtransfer.config import FIELDS, TASKS, RunConfig, flag, reads
from mmtransfer.config.groups import Data, Machine, Model, Optimisation, Output
from mmtransfer.config.options import OPTIONS
from mmtransfer.defaults import DEFAULTS, as_given
from mmtransfer.errors import MMTransferError, suggestion

NO_FLAGS = {"strategy_options", "task", "based_on"}
"""Settings without a flag: the task is a word, the strategy's options are flags of their own, what settings are based
on is the file of --config."""
MEANT: Mapping[str, str] = {
    "--learning-rate": "--lr",
    "--num-epochs": "--epochs",
    "--num-train-epochs": "--epochs",
    "--model": "--backbone",
    "--model-name": "--backbone",
    "--data": "--train",
    "--eval": "--validation",
    "--valid": "--validation",
    "--output": "--out",
    "--output-dir": "--out",
    "--dtype": "--precision",
}
"""Flags as other programs name them, and ours."""
STRATEGY = "strategy__"
"""Before the name of a strategy's option, where settings and options stand side by side."""


class Option(NamedTuple):
    """A flag as tyro is told of it."""

    key: str
    """The field that holds its value."""
    spelled: str
    """How it is written, with dashes."""
    kind: Any
    """Type of its value."""
    default: Any
    about: str
    """What --help says."""
    group: str = "this command"
    """What it stands under there."""


FIRST = ("train", "test", "backbone", "strategy", "epochs", "batch_size", "lr", "max_minutes", "seed", "out")
"""What people set first, which is all that --help shows; the rest is --help-all's."""
GROUPS: Mapping[type[Any], str] = {
    Data: "data",
    Model: "model",
    Optimisation: "training",
    Machine: "this machine",
    Output: "the run folder",
}
"""By the class of settings, what they stand under in the help; those of inputs and targets stand under their own."""
INPUTS: Mapping[str, str] = {"image": "pictures", "audio": "recordings", "text": "texts", "words": "words"}
"""By the name of an input, what its settings stand under."""
OF_THE_VERB = (
    Option("config", "--config", str | None, None, "A JSON file of settings, such as a run's config.json."),
    Option(
        "repeats",
        "--repeats",
        int,
        1,
        "Runs with the seeds SEED, SEED + 1, ..., in OUT/seed-S; OUT/repeats.json says how their scores spread.",
    ),
    Option(
        "versus_scratch",
        "--versus-scratch",
        bool,
        False,
        "Train the same from random weights as well, in OUT-scratch, and compare; on where no data is given.",
    ),
    Option(
        "dry_run",
        "--dry-run",
        bool,
        False,
        "Look at data and model, measure a few steps, and tell what the run would take; nothing is written.",
    ),
    Option("json", "--json", bool, False, "Print JSON instead of tables: the run's folder, scores and seconds."),
    Option("report", "--report", bool, False, "At the end write one page of what has come out, OUT/report.html."),
)
"""Flags that are no settings of a run."""


def parse(task: str, words: Sequence[str], choices: Mapping[str, Any], program: str) -> dict[str, Any]:
    """The settings that a command line gives, over those of `--config`, over a recipe's choices.

    Raises MMTransferError for an option that does not exist or that the task or strategy does not read.
    """
    file = value_of(words, "--config")
    base = _base(task, choices, file)
    usual = base.get("strategy") or _default_of(task, "strategy")
    strategy = value_of(words, "--strategy") or usual
    if strategy != usual:
        base.pop("strategy_options", None)
    options = [*OF_THE_VERB, *_settings(task, base, strategy), *_strategy_options(base, strategy)]
    _refuse_unknown(words, task, strategy, [option.spelled for option in options])
    if help.asked(words):
        print(_help(task, strategy, options, words, program))
        raise SystemExit(0)
    said = parsed(_kind(options), words, program)
    spoken = {plain(word) for word in words if word.startswith("--")}
    values = {option.key: getattr(said, option.key) for option in options if option.spelled in spoken}
    values.pop("config", None)
    chosen = dict(base.get("strategy_options") or {})
    chosen |= {key.removeprefix(STRATEGY): value for key, value in values.items() if key.startswith(STRATEGY)}
    settings = {key: value for key, value in base.items() if key in FIELDS}
    settings |= {key: value for key, value in values.items() if not key.startswith(STRATEGY)}
    if file:
        settings["based_on"] = file
    if chosen:
        settings |= {"strategy": strategy, "strategy_options": chosen}
    return settings


def _base(task: str, choices: Mapping[str, Any], file: str | None) -> dict[str, Any]:
    """Settings before any flag: a recipe's choices, and over them those of a file."""
    where = f"--config {file}"
    saved = {"task": task, **configuration.read_settings(file, where)} if file else {}
    configuration.make(saved, where)
    base = {**choices, **as_given(saved)}
    if base.setdefault("task", task) != task:
        raise MMTransferError(f"The configuration is for {base['task']}", where, f"use fit {base['task']}")
    configuration.make(base, where)
    return base


def _settings(task: str, base: Mapping[str, Any], strategy: str) -> Iterator[Option]:
    """The flags of a run's settings that the task reads."""
    documents, hints = help.documents_of(RunConfig), typing.get_type_hints(RunConfig)
    groups = {
        field.name: group for kind, group in (*GROUPS.items(), *_own_groups(task)) for field in dataclasses.fields(kind)
    }
    for name in FIELDS:
        if name in NO_FLAGS or not reads(name, task):
            continue
        kind = str | None if name in ("train", "validation", "test") else hints[name]
        default = base.get(name, _default_of(task, name))
        default = tuple(default) if isinstance(default, list) else default  # JSON has no tuples
        if name == "strategy":
            kind, default = Literal[tuple(strategies.STRATEGIES)], strategy
        elif name in configuration.OUTSIDE:
            kind = Literal[configuration.choices(name)]
        elif default is None and types.NoneType not in typing.get_args(kind) and kind is not Any:
            kind = kind | None  # filled in by the machine or the strategy
        elif default is not None and types.NoneType in typing.get_args(kind):
            kind = typing.Union[tuple(arg for arg in typing.get_args(kind) if arg is not types.NoneType)]  # noqa: UP007
        yield Option(name, flag(name), kind, default, documents[name], groups[name])


def _own_groups(task: str) -> Iterator[tuple[type[Any], str]]:
    """The settings of the task's input and target, and what they stand under in the help."""
    parts = TASKS[task]
    yield OPTIONS[parts.input], INPUTS[parts.input]
    for target in parts.targets:
        yield OPTIONS[target], "answers"


def _strategy_options(base: Mapping[str, Any], strategy: str) -> Iterator[Option]:
    """The flags of a strategy's own options."""
    kind, given = strategies.STRATEGIES[strategy], base.get("strategy_options") or {}
    documents, hints = help.documents_of(kind), typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = field.name
        default = given.get(name, field.default)
        spelled = f"--strategy.{name.replace('_', '-')}"
        yield Option(f"{STRATEGY}{name}", spelled, hints[name], default, documents[name], f"--strategy {strategy}")


def _help(task: str, strategy: str, options: Sequence[Option], words: Sequence[str], program: str) -> str:
    """The flags that people set first, and the strategy's own where it is named; or, with --help-all, all of them."""
    every = help.HELP_ALL in words
    named = (f"--strategy {strategy}",) if value_of(words, "--strategy") else ()
    entries = [
        help.entry(o.key, o.spelled, o.kind, o.default, o.about, o.group)._replace(
            first=o.key in FIRST or o.group in named, **({"value": "FOLDER"} if o.key == "out" else {})
        )
        for o in options
    ]
    about = (
        f"Trains a model for {task}, with the strategy {strategy} if no other is named.\n"
        f"{strategy}: {' '.join(_summary(strategies.STRATEGIES[strategy]).split())}"
    )
    if every:
        entries.sort(key=lambda one: one.group == OF_THE_VERB[0].group)
        note = "A switch that a recipe or --config has turned on is turned off by --no-, such as --no-skip-bad."
    else:
        hidden = sum(not one.first for one in entries)
        note = f"{hidden} more flags: {program} --help-all\nWhat the run would take, without running: add --dry-run"
        # short enough without groups, but those of the strategy
        entries = [one if one.group in named else one._replace(group="flags") for one in entries]
    return help.page(f"{program} --train DATA [flags]", about, entries, every, note)


def flags_of(task: str, unread: Sequence[str] = (), own: Sequence[Option] = ()) -> type[Any]:
    """A dataclass of all flags of a task and of the strategy that is usual for it, but for those that are `unread`, and
    a verb's `own` before them."""
    strategy = _default_of(task, "strategy")
    every = [*own, *OF_THE_VERB, *_settings(task, {}, strategy)]
    every += [] if "--strategy" in unread else _strategy_options({}, strategy)
    by_name = {option.spelled: option for option in reversed(every) if option.spelled not in unread}
    return _kind(list(reversed(by_name.values())))


def _kind(options: Sequence[Option]) -> type[Any]:
    """A dataclass with a field for each option."""
    return dataclasses.make_dataclass(
        "Flags",
        [
            (
                option.key,
                Annotated[option.kind, tyro.conf.arg(name=option.spelled[2:], help=" ".join(option.about.split()))],
                dataclasses.field(default=option.default),
            )
            for option in options
        ],
        kw_only=True,
        frozen=True,
    )


def _default_of(task: str, name: str) -> Any:
    default = FIELDS[name].default
    return DEFAULTS[task].get(name, default) if default is None else default


def _refuse_unknown(words: Sequence[str], task: str, strategy: str, known: Sequence[str]) -> None:
    for word in words:
        spelled = plain(word)
        if not word.startswith("--") or spelled in known or spelled in help.HELP:
            continue
        name = spelled[2:].replace("-", "_")
        if name in FIELDS:
            readers = ", ".join(configuration.owners(name) or ()) or "fit, as a word"
            raise MMTransferError(f"{task} does not read {spelled}", "the command line", f"leave it out ({readers})")
        if spelled.startswith("--strategy."):
            raise _no_option(spelled, strategy, [option for option in known if option.startswith("--strategy.")])
        do = f"did you mean {MEANT[spelled]}?" if MEANT.get(spelled) in known else suggestion(spelled, known)
        raise MMTransferError(f"Unknown option {spelled}", "the command line", do)


def _no_option(spelled: str, strategy: str, options: Sequence[str]) -> MMTransferError:
    """The error for an option that the strategy does not have; it names the strategies that do."""
    name, kinds = spelled.removeprefix("--strategy.").replace("-", "_"), strategies.STRATEGIES
    owners = [kind for kind in kinds if name in {field.name for field in dataclasses.fields(kinds[kind])}]
    do = f"its options: {', '.join(options) or 'none'}" + (
        f"; {spelled} is one of {', '.join(owners)}" if owners else ""
    )
    return MMTransferError(f"{strategy} has no option {spelled}", "the command line", do)


def _summary(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].strip()
