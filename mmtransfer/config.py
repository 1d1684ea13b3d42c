"""Every setting of a run, one frozen dataclass. The command line, `config.json` and `fit(...)` are made from it.

A field that is None takes its task's default (or the strategy's); `config.json` holds the values in force.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmtransfer import documents, spelling
from mmtransfer.errors import MMTransferError, unknown

IMAGE, TEXT, SPEECH = "image-classification", "text-classification", "speech-recognition"
AUDIO, TAGS = "audio-classification", "token-classification"


class Parts(NamedTuple):
    """What a task is made of: the name of an input, and those of its targets, the default first."""

    input: str
    targets: tuple[str, ...]


LABELS = ("single-label", "multi-label", "regression")
TASKS: Mapping[str, Parts] = {
    IMAGE: Parts("image", LABELS),
    TEXT: Parts("text", LABELS),
    SPEECH: Parts("audio", ("transcript",)),
    AUDIO: Parts("audio", LABELS),
    TAGS: Parts("words", ("tags",)),
}
"""The table of tasks."""


def _of(*parts: str, default: Any = None) -> Any:
    """A field that only these inputs and targets read; the command line of tasks without them does not have it."""
    return field(default=default, metadata={"parts": parts})


@dataclass(frozen=True)
class RunConfig:
    """What a run is made of: (task, data, backbone, strategy, budget, seed)."""

    task: str = IMAGE
    """image-classification, text-classification, speech-recognition, audio-classification or token-classification."""

    # data
    train: Any = None
    """Training data: a class folder, a table (CSV, TSV, JSON, Parquet), a folder with metadata.csv or with a .txt for
    each recording, a dataset saved to disk, `hub:ORG/NAME[:CONFIG[:SPLIT]]`, `builtin:NAME`, `builtin` (the task's own
    built-in data, with settings that suit it), or (Python) a Dataset or a list of rows."""
    validation: Any = None
    """Validation data, which chooses the best epoch; cut from the training data when not given."""
    test: Any = None
    """Test data, looked at once, at the end."""
    validation_fraction: float = 0.1
    """Share of the training data held out when no validation data is given; stratified by label."""
    fraction: float | None = None
    """Share of the training data that is trained on, stratified by label; drawn after validation was cut."""
    shots: int | None = None
    """Training examples of each class that are trained on; where there are no classes, of all. 0: none, the classes'
    names in the training data alone decide (texts, with --strategy.prior names)."""
    shots_minutes: float | None = _of("audio")
    """Minutes of randomly drawn recordings that are trained on, spread over the speakers."""
    text_column: str | None = _of("text")
    """Column with the text; guessed where only one guess is possible."""
    pair_column: str | None = _of("text")
    """Column with the second text, where pairs are classified; guessed only from usual names, such as text1, text2."""
    label_column: str | None = _of(*LABELS)
    """Column with the label; guessed where only one guess is possible."""
    target: Literal["single-label", "multi-label", "regression"] = _of(*LABELS, default="single-label")
    """What the label column holds: one label, any number of labels, or a number."""
    label_separator: str | None = _of(*LABELS)
    """Between the labels of one example, with --target multi-label; | if None."""
    file_column: str | None = _of("image", "audio")
    """Column with the file name, relative to the table, or its bytes; guessed where only one guess is possible."""
    transcript_column: str | None = _of("transcript")
    """Column with the transcript; guessed where only one guess is possible."""
    words_column: str | None = _of("words")
    """Column with the words, a list; guessed where only one guess is possible."""
    tags_column: str | None = _of("tags")
    """Column with the tags, a list, one a word; guessed where only one guess is possible."""
    group_column: str | None = None
    """Column with the speaker, patient, author, ...: validation is then cut in whole groups. In speech, where it is
    guessed as well, the intervals of WER and CER are by it; a guess leaves the split as it is."""
    test_group: str | None = None
    """The group whose examples leave the training data and become the test data."""
    max_seconds: float | None = _of("audio")
    """Longest recording, or segment by the columns `start` and `end`, to train and test on. Predicting cuts longer ones
    where they are quietest."""
    skip_bad: bool = False
    """Leave out examples that cannot be read, and record them in result.json, instead of stopping."""
    duplicates: Literal["warn", "drop", "error"] = "warn"
    """Examples of one split that another holds as well, texts also if they differ in case or white space alone. warn:
    tell them; drop: leave them out of the training data; error: stop before training."""
    based_on: str | None = None
    """The config.json that the settings are from: where it is a run's, changes of the data since then are told."""

    # model
    backbone: str | None = None
    """A torchvision name, a Hugging Face hub name, a local folder, a run folder, a named shape without weights, or
    `builtin`: the small one that comes with the installation."""
    weights: str | None = None
    """`none` for random weights, a torchvision weights name, or a .pth/.safetensors file; its own if None."""
    strategy: str | None = None
    """What is trained: linear-probe, partial, full, lp-ft or scratch."""
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    """The strategy's own options, by name."""
    image_size: int | None = _of("image")
    """Pixels of a side of the square that the network sees; the backbone's own if None (224 for most)."""
    crop_pct: float | None = _of("image")
    """In evaluation the shorter side becomes image_size / crop_pct before the centre crop."""
    mean: tuple[float, float, float] | None = _of("image")
    """Channel means of the normalisation, of pixels in 0..1; the backbone's own if None."""
    std: tuple[float, float, float] | None = _of("image")
    """Channel standard deviations of the normalisation, of pixels in 0..1; the backbone's own if None."""
    augment: Literal["auto", "none", "light", "strong"] | None = _of("image", "audio")
    """Random changes in training. Images: light is crop and flip, strong more. Speech: light is speed, gain and noise,
    strong wider and with bands of frequencies left out. auto: none where the first stages are frozen, else light."""
    max_length: int | None = _of("text", "words")
    """Tokens of the longest text that is kept whole; longer ones are cut."""
    head: Literal["linear", "mlp"] = _of(*LABELS, "tags", default="linear")
    """On the pooled features: one linear layer, or two with GELU and dropout between them."""
    pooling: Literal["mean", "cls", "last"] | None = _of("text")
    """From tokens to one vector: their mean, the first, or the last; the backbone's own if None (mean; GPT-2: last)."""
    label_smoothing: float | None = _of(*LABELS)
    """Share of the target's mass spread over all classes in training, 0 to 1 (Szegedy et al. 2016)."""
    vocabulary: Literal["train", "backbone"] = _of("transcript", default="train")
    """Symbols that CTC writes: the characters of the training data, or the checkpoint's own with its head's weights."""
    mask_prob: float | None = _of("audio")
    """Share of the frames masked in training (SpecAugment in time, Baevski et al. 2020); 0 for none."""

    class_weights: Literal["none", "auto"] = _of(*LABELS, default="none")
    """auto: in the training loss an example weighs as the inverse of its class's frequency, 1 on average."""

    # training
    epochs: int | None = None
    """Passes over the training data."""
    batch_size: int | None = None
    """Examples per optimiser step, over all processes."""
    micro_batch_size: int | None = _of("image")
    """Images of one forward pass; a step's whole batch if memory allows (BatchNorm sees the micro-batch)."""
    micro_batch_tokens: int | None = _of("text", "words")
    """Tokens of one forward pass, padding included."""
    micro_batch_seconds: float | None = _of("audio")
    """Seconds of audio of one forward pass, padding included."""
    lr: float | None = None
    """Peak learning rate of the backbone; the strategy may give the head a multiple."""
    optimizer: Literal["adamw", "sgd"] | None = None
    """AdamW (Loshchilov & Hutter 2019) or SGD with momentum."""
    momentum: float = 0.9
    """Momentum of SGD; with AdamW it is its first beta."""
    nesterov: bool = False
    """Nesterov's form of SGD's momentum."""
    weight_decay: float | None = None
    """Decoupled decay (SGD: L2); never on biases, normalisation and embeddings."""
    schedule: Literal["cosine", "linear", "tri-stage", "constant"] | None = None
    """Learning rate over a phase, in optimiser steps."""
    warmup: float | None = None
    """Share of a phase's steps in which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    patience: int | None = None
    """Epochs without a better validation score after which a phase ends; None: never."""
    max_minutes: float | None = None
    """Budget: training ends in time, with the best validated model; None: no limit."""
    seed: int = 0
    """Root of the independent streams for split, head, order, augmentation, dropout."""

    # machine
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward pass; bf16 is autocast, weights stay float32."""
    threads: int | None = None
    """CPU threads of this process; its share of the cores if None."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Compute frozen stages once and keep their states; auto: where measuring says that it saves time."""
    cache_dir: str | None = None
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    cache_limit: float = 20.0
    """GiB that the folder may hold; what would not fit is not cached."""
    workers: int | None = None
    """Processes that decode ahead of the training loop; 0 decodes in the loop itself."""

    # output
    out: str | None = None
    """The run folder; runs/TASK-DATE-TIME if None."""
    resume: bool = False
    """Go on with the run in `out`, from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in `out`."""
    log_every: int = 10
    """Optimiser steps between two lines of log.jsonl."""
    checkpoint_every: int = 500
    """Optimiser steps between two checkpoints inside an epoch; one is written at the end of every epoch as well."""
    keep_checkpoints: bool = False
    """Keep the folder checkpoints/ after success."""
    track: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()
    """Trackers that get losses, rates, scores and settings as well; several may be named."""

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test", "backbone", "weights", "out"):
            if isinstance(getattr(self, name), Path):
                object.__setattr__(self, name, str(getattr(self, name)))
        positive: tuple[str, ...] = (
            "epochs",
            "batch_size",
            "micro_batch_size",
            "micro_batch_tokens",
            "micro_batch_seconds",
            "lr",
        )
        positive += (
            "image_size",
            "max_length",
            "threads",
            "log_every",
            "checkpoint_every",
            "cache_limit",
            "clip",
            "max_minutes",
            "patience",
            "shots_minutes",
            "max_seconds",
        )
        for name in positive:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise _bad(name, value, "more than 0")
        for name in ("shots", "workers", "weight_decay", "seed"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise _bad(name, value, "0 or more")
        for name in ("label_smoothing", "mask_prob", "warmup", "momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise _bad(name, value, "at least 0 and below 1")
        for name, above, must in (("mean", -math.inf, "three numbers"), ("std", 0.0, "three numbers above 0")):
            value = getattr(self, name)
            if value is not None and not _three(value, above):
                raise _bad(name, value, must)
        if not 0 < self.validation_fraction < 1:
            raise _bad("validation_fraction", self.validation_fraction, "between 0 and 1")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise _bad("crop_pct", self.crop_pct, "above 0 and at most 1")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise _bad("fraction", self.fraction, "above 0 and at most 1")
        for names in (("fraction", "shots", "shots_minutes"), ("test", "test_group")):
            given = [flag(name) for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise MMTransferError(f"{' and '.join(given)} exclude each other", "the settings", "give one of them")
        if self.label_separator == "":
            raise _bad("label_separator", "", "a character or more")
        one = self.target == "single-label"
        for name, unread in (
            ("label_separator", self.label_separator is not None and self.target != "multi-label"),
            ("label_smoothing", bool(self.label_smoothing) and not one),
            ("class_weights", self.class_weights != "none" and not one),
        ):
            if unread:
                raise MMTransferError(f"--target {self.target} does not read {flag(name)}", flag(name), "leave it out")
        if self.resume and self.overwrite:
            raise MMTransferError("--resume and --overwrite exclude each other", "the command line", "give one of them")
        if self.resume and self.out is None:
            raise MMTransferError("--resume needs the run to go on with", "--out", "give --out RUN_FOLDER")

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON holds them; data given as Python lists is named, not copied."""
        named: dict[str, Any] = {split: told(getattr(self, split)) for split in ("train", "validation", "test")}
        return dataclasses.asdict(dataclasses.replace(self, **named))


def told(source: Any) -> str | None:
    """What messages and records call a source of data: a path as it is, an object of Python by its kind and size."""
    if source is None or isinstance(source, str):
        return source
    if isinstance(source, Path):
        return str(source)
    if isinstance(source, Mapping):
        return f"python:{'+'.join(map(str, source))}"
    return f"python:{len(source)} rows" if hasattr(source, "__len__") else f"python:{type(source).__name__}"


def _bad(name: str, value: Any, must: str) -> MMTransferError:
    return MMTransferError(f"{flag(name)} must be {must}, not {value!r}", flag(name), "change the value")


def _three(values: Any, above: float) -> bool:
    """Whether these are a number for each colour, above a limit and finite."""
    listed = isinstance(values, tuple | list) and len(values) == 3
    return listed and all(isinstance(value, int | float) and above < value < math.inf for value in values)


def flag(name: str) -> str:
    """A field's spelling on the command line."""
    return "--" + name.replace("_", "-")


FIELDS: dict[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(RunConfig)}
spelling.learn(RunConfig)


def reads(name: str, task: str) -> bool:
    """Whether `task` reads the field."""
    return owners(name) is None or task in (owners(name) or ())


def owners(name: str) -> list[str] | None:
    """The tasks that read the field; None for all."""
    parts = FIELDS[name].metadata.get("parts")
    return None if parts is None else [task for task, own in TASKS.items() if {own.input, *own.targets} & set(parts)]


def make(fields: Mapping[str, Any], where: str) -> RunConfig:
    """A RunConfig from a mapping; MMTransferError for fields that are not there or that its task does not read."""
    for name in fields:
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS, where)
    task = fields.get("task", IMAGE)
    if task in TASKS:
        for name, value in fields.items():
            if not reads(name, task) and value != FIELDS[name].default:
                others = ", ".join(owners(name) or ())
                raise MMTransferError(f"{task} does not read {flag(name)}", where, f"leave it out ({others} reads it)")
    values = dict(fields)
    for name in ("mean", "std", "track"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if isinstance(values.get("track"), str):
        values["track"] = (values["track"],)
    for name, value in values.items():
        check_kind(RunConfig, name, value, flag(name), where)
    return RunConfig(**values)


SCALARS: Mapping[Any, tuple[Any, str]] = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    bool: (bool, "true or false"),
    str: (str | os.PathLike, "a text"),
}
"""By annotated type: what is accepted, and what it is called."""


def check_kind(kind: type[Any], name: str, value: Any, spelled: str, where: str) -> None:
    """Raises MMTransferError for a value that is not of the type of a dataclass's field; the command line cannot give
    such, JSON and Python can."""
    kinds = _kinds(kind)[name]  # type: ignore[arg-type]
    if not any(_is(value, one) for one in kinds):
        options = [option for one in kinds if typing.get_origin(one) is Literal for option in typing.get_args(one)]
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
def _kinds(kind: type[Any]) -> dict[str, tuple[Any, ...]]:
    """The types of each field of a dataclass: one, or several where it is a union."""
    hints = typing.get_type_hints(kind)
    unions = (types.UnionType, typing.Union)
    return {name: typing.get_args(h) if typing.get_origin(h) in unions else (h,) for name, h in hints.items()}


def read(path: str | Path, where: str = "") -> dict[str, Any]:
    """The fields in a JSON file such as a run's config.json; `where`: what errors call it, the path if empty."""
    where = where or str(path)
    try:
        values = documents.load(Path(path))
    except FileNotFoundError:
        raise MMTransferError("No such configuration file", where, "check the path") from None
    except (OSError, ValueError) as error:
        raise MMTransferError(str(error), where, "give a whole config.json") from None
    if not isinstance(values, dict):
        raise MMTransferError("A configuration is one JSON object", where, "give a whole config.json")
    return values
