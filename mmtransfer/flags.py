"""The flags of `fit`, made from the settings of a task and the options of a strategy, and checked before all else."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from mmtransfer import config as configuration
from mmtransfer import strategies
from mmtransfer.config import FIELDS, RunConfig, flag, reads
from mmtransfer.defaults import DEFAULTS
from mmtransfer.errors import MMTransferError, suggestion

OWN = {"strategy_options", "task", "based_on"}
"""Fields that are not flags: the task is a word, the strategy's options are flags of their own, what settings are based
on is the file of --config."""


def parse(task: str, words: Sequence[str], choices: Mapping[str, Any], program: str) -> dict[str, Any]:
    """The settings that a command line gives, over those of `--config`, over a recipe's choices.

    Raises MMTransferError for an option that does not exist or that the task or strategy does not read.
    """
    file = _peek(words, "--config")
    base = {**choices, **(configuration.read(file, f"--config {file}") if file else {})}
    if base.setdefault("task", task) != task:
        raise MMTransferError(f"The configuration is for {base['task']}", f"--config {file}", f"use fit {base['task']}")
    configuration.make(base, f"--config {file}")
    before = base.get("strategy") or _default_of(task, "strategy")
    name = _peek(words, "--strategy") or before
    if name != before:
        base.pop("strategy_options", None)
    options = dataclasses.fields(strategies.STRATEGIES[name])
    known: dict[str, tuple[str, Any, Any, str]] = {}
    known["config"] = ("--config", str | None, None, "A JSON file of settings, such as a run's config.json.")
    many = "Runs with the seeds SEED, SEED + 1, ..., in OUT/seed-S; OUT/repeats.json says how their scores spread."
    known["repeats"] = ("--repeats", int, 1, many)
    control = "Train the same from random weights as well, in OUT-scratch, and compare; on where no data is given."
    known["versus_scratch"] = ("--versus-scratch", bool, False, control)
    documents = _documents(RunConfig)
    hints = typing.get_type_hints(RunConfig)
    for field in FIELDS.values():
        if field.name not in OWN and reads(field.name, task):
            kind = str | None if field.name in ("train", "validation", "test") else hints[field.name]
            default = base.get(field.name, _default_of(task, field.name))
            default = tuple(default) if isinstance(default, list) else default  # JSON has no tuples
            if field.name == "strategy":
                kind, default = Literal[tuple(strategies.STRATEGIES)], name
            elif default is not None and types.NoneType in typing.get_args(kind):
                kind = typing.Union[tuple(arg for arg in typing.get_args(kind) if arg is not types.NoneType)]  # noqa: UP007
            known[field.name] = (flag(field.name), kind, default, documents[field.name])
    strategy_documents = _documents(strategies.STRATEGIES[name])
    strategy_hints = typing.get_type_hints(strategies.STRATEGIES[name])
    for option in options:
        spelled = f"--strategy.{option.name.replace('_', '-')}"
        default = (base.get("strategy_options") or {}).get(option.name, option.default)
        known[f"strategy__{option.name}"] = (
            spelled,
            strategy_hints[option.name],
            default,
            strategy_documents[option.name],
        )

    _refuse_unknown(words, task, name, {spelled: kind for spelled, kind, _, _ in known.values()})
    flags = dataclasses.make_dataclass(
        "Flags",
        [
            (key, Annotated[kind, tyro.conf.arg(name=spelled[2:], help=text)], dataclasses.field(default=default))
            for key, (spelled, kind, default, text) in known.items()
        ],
        kw_only=True,
        frozen=True,
    )
    description = f"Trains a model for {task} with the strategy {name}: {_summary(strategies.STRATEGIES[name])}"
    parsed: Any = tyro.cli(flags, args=list(words), prog=program, description=description)
    spoken = {plain(word) for word in words if word.startswith("--")}
    result = {key: value for key, value in base.items() if key in FIELDS}
    chosen = dict(base.get("strategy_options") or {})
    for key, (spelled, *_rest) in known.items():
        if spelled not in spoken or key == "config":
            continue
        if key.startswith("strategy__"):
            chosen[key.removeprefix("strategy__")] = getattr(parsed, key)
        else:
            result[key] = getattr(parsed, key)
    if file:
        result["based_on"] = file
    if chosen:
        result |= {"strategy": name, "strategy_options": chosen}
    return result


def plain(word: str) -> str:
    """A flag as it is listed: without value, with dashes, without the no- of a boolean."""
    word = word.split("=", 1)[0].replace("_", "-")
    return "--" + word[5:] if word.startswith("--no-") else word


def _peek(words: Sequence[str], wanted: str) -> str | None:
    for place, word in enumerate(words):
        if word == wanted and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(wanted + "="):
            return word.split("=", 1)[1]
    return None


def _default_of(task: str, name: str) -> Any:
    default = FIELDS[name].default
    return DEFAULTS[task].get(name, default) if default is None else default


def _refuse_unknown(words: Sequence[str], task: str, strategy: str, known: Mapping[str, Any]) -> None:
    for word in words:
        spelled = plain(word)
        if not word.startswith("--") or spelled in known or spelled == "--help":
            continue
        name = spelled[2:].replace("-", "_")
        if name in FIELDS:
            readers = ", ".join(configuration.owners(name) or ()) or "fit, as a word"
            raise MMTransferError(f"{task} does not read {spelled}", "the command line", f"leave it out ({readers})")
        if spelled.startswith("--strategy."):
            options = [option for option in known if option.startswith("--strategy.")]
            listing = ", ".join(options) or "none"
            wanted, kinds = spelled.removeprefix("--strategy.").replace("-", "_"), strategies.STRATEGIES
            others = [own for own in kinds if wanted in {field.name for field in dataclasses.fields(kinds[own])}]
            do = f"its options: {listing}" + (f"; {spelled} is one of {', '.join(others)}" if others else "")
            raise MMTransferError(f"{strategy} has no option {spelled}", "the command line", do)
        raise MMTransferError(f"Unknown option {spelled}", "the command line", suggestion(spelled, known))


def refuse_other(words: Sequence[str], known: set[str]) -> None:
    for word in words:
        if word.startswith("--") and plain(word) not in known | {"--help"}:
            listed = suggestion(plain(word), sorted(known))
            raise MMTransferError(f"Unknown option {plain(word)}", "the command line", listed)


def taken(words: Sequence[str], wanted: str) -> tuple[list[str], list[str]]:
    """The values of a flag of one or more values, and the words without them."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{wanted}=") else [word])]
    if wanted not in words:
        return [], words
    start = list(words).index(wanted)
    stop = start + 1
    while stop < len(words) and not words[stop].startswith("--"):
        stop += 1
    return list(words[start + 1 : stop]), [*words[:start], *words[stop:]]


def _documents(kind: type[Any]) -> dict[str, str]:
    """The docstrings under a dataclass's fields."""
    from tyro._docstrings import get_field_docstring  # the parser that tyro's own help uses

    return {field.name: get_field_docstring(kind, field.name, ()) or "" for field in dataclasses.fields(kind)}


def _summary(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].strip()
