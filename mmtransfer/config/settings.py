"""Every setting of a run, one frozen dataclass. The command line, `config.json` and `fit(...)` are made from it."""

from __future__ import annotations

import dataclasses
import numbers
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mmtransfer import documents, registry, spelling
from mmtransfer.config.fields import check_range, flag
from mmtransfer.config.groups import Data, Machine, Model, Optimisation, Output
from mmtransfer.config.options import (
    OPTIONS,
    AudioOptions,
    ImageOptions,
    LabelOptions,
    TagsOptions,
    TextOptions,
    TranscriptOptions,
    WordsOptions,
)
from mmtransfer.config.tasks import IMAGE, TASKS
from mmtransfer.errors import MMTransferError, unknown

PATHS = ("train", "validation", "test", "backbone", "weights", "lm", "cache_dir", "out")
"""Settings that may be given as a Path."""
EXCLUSIVE = (("fraction", "shots", "shots_minutes"), ("test", "test_group"))
"""Settings of which one at most may be given."""


@dataclass(frozen=True)
class RunConfig(
    Output,
    Machine,
    Optimisation,
    TagsOptions,
    TranscriptOptions,
    LabelOptions,
    WordsOptions,
    TextOptions,
    AudioOptions,
    ImageOptions,
    Model,
    Data,
):
    """What a run is made of: (task, data, backbone, strategy, budget, seed).

    `fit` completes one that has gaps; what it then holds, and what config.json keeps, has none.

    >>> config = RunConfig(task="text-classification", train="train.csv", strategy="linear-probe")
    >>> config.seed, config.lr  # the rate is a gap: it depends on the task
    (0, None)
    """

    task: str = IMAGE
    """image-classification, text-classification, speech-recognition, audio-classification or token-classification."""

    def __post_init__(self) -> None:
        for name in PATHS:
            if isinstance(getattr(self, name), Path):
                object.__setattr__(self, name, str(getattr(self, name)))
        for field in dataclasses.fields(self):
            check_range(field, getattr(self, field.name))
        for names in EXCLUSIVE:
            given = [flag(name) for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise MMTransferError(f"{' and '.join(given)} exclude each other", "the settings", "give one of them")
        self._check_target()
        if self.resume and self.overwrite:
            raise MMTransferError("--resume and --overwrite exclude each other", "the command line", "give one of them")
        if self.resume and self.out is None:
            raise MMTransferError("--resume needs the run to go on with", "--out", "give --out RUN_FOLDER")

    def _check_target(self) -> None:
        """Raises MMTransferError for settings that only another kind of label reads."""
        single = self.target == "single-label"
        for name, unread in (
            ("label_separator", self.label_separator is not None and self.target != "multi-label"),
            ("label_smoothing", bool(self.label_smoothing) and not single),
            ("class_weights", self.class_weights != "none" and not single),
            ("sampling", self.sampling != "each" and not single),
            ("focal_gamma", self.focal_gamma > 0 and self.target == "regression"),
        ):
            if unread:
                raise MMTransferError(f"--target {self.target} does not read {flag(name)}", flag(name), "leave it out")

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON holds them; data given as Python lists is named, not copied."""
        named: dict[str, Any] = {split: told(getattr(self, split)) for split in ("train", "validation", "test")}
        return dataclasses.asdict(dataclasses.replace(self, **named))


FIELDS: dict[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(RunConfig)}
spelling.learn(RunConfig)


def told(source: Any) -> str | None:
    """What messages and records call a source of data: a path as it is, an object of Python by its kind and size."""
    if source is None or isinstance(source, str):
        return source
    if isinstance(source, Path):
        return str(source)
    if isinstance(source, Mapping):
        return f"python:{'+'.join(map(str, source))}"
    return f"python:{len(source)} rows" if hasattr(source, "__len__") else f"python:{type(source).__name__}"


def default_of(name: str) -> Any:
    """What a field is where nobody says anything."""
    default = FIELDS[name].default
    return {} if default is dataclasses.MISSING else default


OUTSIDE: Mapping[str, str] = {"target": "mmtransfer.targets"}
"""Settings whose choices other packages add to, with the group of their entry points."""


def choices(name: str) -> tuple[str, ...]:
    """The values of a setting that is a choice, those that other packages add last; none where it is no choice.

    >>> choices("target")
    ('single-label', 'multi-label', 'regression')
    """
    kinds, _ = _kinds(RunConfig)[name]
    own = tuple(option for one in kinds if typing.get_origin(one) is Literal for option in typing.get_args(one))
    taken = {*own, *(target for parts in TASKS.values() for target in parts.targets)}
    added = registry.points(OUTSIDE[name]) if name in OUTSIDE else ()
    return (*own, *(option for option in added if option not in taken))


@cache
def owners(name: str) -> tuple[str, ...] | None:
    """The tasks that read the field; None for all."""
    parts = {part for part, options in OPTIONS.items() if name in {field.name for field in dataclasses.fields(options)}}
    return tuple(task for task, own in TASKS.items() if {own.input, *own.targets} & parts) if parts else None


def reads(name: str, task: str) -> bool:
    """Whether `task` reads the field."""
    tasks = owners(name)
    return tasks is None or task in tasks


def make(fields: Mapping[str, Any], where: str) -> RunConfig:
    """A RunConfig from a mapping; MMTransferError for fields that are not there or that its task does not read."""
    for name in fields:
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS, where)
    task = fields.get("task", IMAGE)
    if task in TASKS:
        for name, value in fields.items():
            if not reads(name, task) and value != default_of(name):
                readers = ", ".join(owners(name) or ())
                raise MMTransferError(f"{task} does not read {flag(name)}", where, f"leave it out ({readers} reads it)")
    values = dict(fields)
    for name in ("mean", "std", "track"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if isinstance(values.get("track"), str):
        values["track"] = (values["track"],)
    for name, value in values.items():
        check_kind(RunConfig, name, value, flag(name), where)
    return RunConfig(**values)


def read_settings(path: str | Path, where: str = "") -> dict[str, Any]:
    """The fields in a JSON file such as a run's config.json; `where`: what errors call it, the path if empty."""
    where = where or str(path)
    try:
        values = documents.load_json(Path(path))
    except FileNotFoundError:
        raise MMTransferError("No such configuration file", where, "check the path") from None
    except (OSError, ValueError) as error:
        raise MMTransferError(str(error), where, "give a whole config.json") from None
    if not isinstance(values, dict):
        raise MMTransferError("A configuration is one JSON object", where, "give a whole config.json")
    return values


SCALARS: Mapping[Any, tuple[Any, str]] = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    bool: (bool, "true or false"),
    str: (str | os.PathLike, "a text"),
}
"""By annotated type: what is accepted, and what it is called."""


def check_kind(kind: type[Any], name: str, value: Any, spelled: str, where: str) -> None:
    """Raises MMTransferError for a value that is not of the type of a dataclass's field; the command line cannot give
    such, JSON and Python can. None is of every type whose default it is."""
    kinds, default = _kinds(kind)[name]  # type: ignore[arg-type]
    if value is None and default is None:
        return
    if not any(_is(value, one) for one in kinds):
        options = [option for one in kinds if typing.get_origin(one) is Literal for option in typing.get_args(one)]
        if kind is RunConfig and name in OUTSIDE:
            options = list(choices(name))
            if value in options:
                return
        if options:
            raise unknown(spelled, str(value), options, where)
        raise MMTransferError(f"{spelled} must be {SCALARS[kinds[0]][1]}, not {value!r}", where, "change the value")


def _is(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if kind not in SCALARS:
        return value is None if kind is types.NoneType else True
    return isinstance(value, SCALARS[kind][0]) and (kind is bool or not isinstance(value, bool))


@cache
def _kinds(kind: type[Any]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """The types of each field of a dataclass, one or several where it is a union, and its default."""
    hints, unions = typing.get_type_hints(kind), (types.UnionType, typing.Union)
    kinds = {name: typing.get_args(h) if typing.get_origin(h) in unions else (h,) for name, h in hints.items()}
    return {field.name: (kinds[field.name], field.default) for field in dataclasses.fields(kind)}
