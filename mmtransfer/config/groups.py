"""The settings that every task reads, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmtransfer.config.fields import NOT_NEGATIVE, PART, POSITIVE, SHARE, UP_TO_ALL, filled, setting


@dataclass(frozen=True)
class Data:
    """What is trained and tested on."""

    train: Any = None
    """Training data: a class folder, a table (CSV, TSV, JSON, Parquet, CoNLL), a folder with metadata.csv or with a
    .txt for each recording, a dataset saved to disk, `hub:ORG/NAME[:CONFIG[:SPLIT]]`, `builtin:NAME`, `builtin` (the
    task's own built-in data, with settings that suit it), or (Python) a frame, a dict of columns, a Dataset or a list
    of rows."""
    validation: Any = None
    """Validation data, which chooses the best epoch; cut from the training data when not given, but where folds of few
    examples do its work (--strategy.folds of linear-probe)."""
    test: Any = None
    """Test data, looked at once, at the end."""
    validation_fraction: float = setting(0.1, SHARE)
    """Share of the training data held out when no validation data is given; stratified by label. Another share than
    0.1 is held out for a linear probe of few examples as well, instead of folds. 0: none, so the last epoch is kept."""
    fraction: float | None = setting(must=UP_TO_ALL)
    """Share of the training data that is trained on, stratified by label; drawn after validation was cut."""
    shots: int | None = setting(must=NOT_NEGATIVE)
    """Training examples of each class that are trained on; where there are no classes, of all. 0: none, the classes'
    names in the training data alone decide (texts, with --strategy.prior names)."""
    group_column: str | None = None
    """Column with the speaker, patient, author, ...: validation is then cut in whole groups. Of recordings, where it is
    guessed as well, the intervals of WER and CER are by it; a guess leaves the split as it is."""
    test_group: str | None = None
    """The group whose examples leave the training data and become the test data."""
    skip_bad: bool = False
    """Leave out examples that cannot be read, and name them in result.json; without it they are an error."""
    duplicates: Literal["warn", "drop", "error"] = "warn"
    """Examples of one split that another holds as well, texts also if they differ in case or white space alone. warn:
    tell them; drop: leave them out of the training data; error: stop before training."""
    based_on: str | None = None
    """The config.json that the settings are from: where it is a run's, changes of the data since then are told."""


@dataclass(frozen=True)
class Model:
    """What is adapted, and how."""

    backbone: str = filled()
    """A torchvision network (resnet50), a name on the Hugging Face hub, a folder of transformers or of a finished run,
    a shape without weights (wav2vec2-fast), or `builtin`: the small one that comes with the installation."""
    weights: str | None = None
    """`none` for random weights, a torchvision weights name, or a .pth/.safetensors file; its own if None."""
    strategy: str = filled()
    """What is trained: linear-probe, partial, full, lp-ft, wise-ft, gradual, l2-sp, lora, dora, bitfit, norm or
    scratch; `mmtransfer list strategies` explains them."""
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    """The strategy's own options, by name."""


@dataclass(frozen=True)
class Optimisation:
    """How the loop trains."""

    epochs: int = filled(POSITIVE)
    """Passes over the training data."""
    batch_size: int = filled(POSITIVE)
    """Examples per optimiser step, over all processes."""
    lr: float = filled(POSITIVE)
    """Learning rate of the backbone at its peak; that of the head may be a multiple of it, as the strategy has it."""
    optimizer: Literal["adamw", "sgd"] = filled()
    """AdamW (Loshchilov & Hutter 2019) or SGD with momentum."""
    momentum: float = setting(0.9, SHARE)
    """Momentum of SGD; with AdamW it is its first beta."""
    nesterov: bool = False
    """Nesterov's form of SGD's momentum."""
    weight_decay: float = filled(NOT_NEGATIVE)
    """Decoupled decay (SGD: L2); never on biases, normalisation and embeddings."""
    schedule: Literal["cosine", "linear", "tri-stage", "constant"] = filled()
    """Learning rate over a phase, in optimiser steps."""
    warmup: float = filled(SHARE)
    """Share of a phase's steps in which the rate rises from 0."""
    clip: float = setting(1.0, POSITIVE)
    """Largest norm of a step's gradient."""
    ema: float | None = setting(must=PART)
    """Validate and keep an exponential moving average of the weights, with this share of the past a step, such as 0.99
    or 0.999; None: the last weights."""
    join_validation: int | None = setting(must=POSITIVE)
    """Epochs, the last ones, that train on the validation data as well, where the rate is low and little is left to
    choose: the last weights are kept, nothing such as a temperature is tuned at the end, and the validation scores in
    result.json are those of the epochs before. None: none; nor are there any where --patience ends the phase before."""
    patience: int | None = setting(must=POSITIVE)
    """Epochs without a better validation score after which a phase ends; None: never."""
    stop_after: int | None = setting(must=POSITIVE)
    """Optimiser steps after which training ends, with the best validated model. The schedule is that of all epochs, so
    this is the first part of a longer run; None: all of it."""
    max_minutes: float | None = setting(must=POSITIVE)
    """Budget in minutes, scoring and saving included: training ends in time, with the best model so far by validation;
    None: no limit."""
    seed: int = setting(0, NOT_NEGATIVE)
    """Whole number that all randomness comes from: the split, the head's start, the order, augmentation, dropout."""


@dataclass(frozen=True)
class Machine:
    """What it runs on, and what is kept there."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward pass; bf16 and fp16 are autocast, weights stay float32. auto: bf16, on a GPU without it
    fp16, where a backbone is trained by steps and a trial on a few examples is faster and agrees; else fp32."""
    layout: Literal["auto", "contiguous", "channels-last"] = "auto"
    """How images lie in memory, of convolutional networks. auto: channels-last where that trial is faster."""
    deterministic: bool = False
    """Take only algorithms that give the same bits each time, so that a run resumed on the same GPU ends with the same
    weights; steps take longer there. On a CPU this holds without it."""
    threads: int | None = setting(must=POSITIVE)
    """CPU threads of this process; its share of the cores if None."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Compute frozen stages once and keep their states; auto: where measuring says that it saves time. Unless off,
    files that several epochs read are decoded once, where that saves time."""
    cache_dir: str | None = None
    """Folder of the states; $MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder, if None."""
    cache_limit: float = setting(20.0, POSITIVE)
    """GiB that the folder may hold; what would not fit is not cached."""
    graphs: Literal["auto", "on", "off"] = "auto"
    """On CUDA, launch a micro-batch's passes at once, recorded for each shape; auto: where that is faster, and agrees.
    on: an error where it cannot be."""
    workers: int | None = setting(must=NOT_NEGATIVE)
    """Processes that decode ahead of the training loop; 0 decodes in the loop itself. None: one for each idle core, at
    most 8, and more after an epoch that has waited for data."""


@dataclass(frozen=True)
class Output:
    """The run folder, and what is written there."""

    out: str | None = None
    """The run folder; runs/TASK-DATE-TIME if None."""
    resume: bool = False
    """Go on with the run in `out`, from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in `out`."""
    log_every: int = setting(10, POSITIVE)
    """Optimiser steps between two lines of log.jsonl."""
    checkpoint_every: int = setting(500, POSITIVE)
    """Optimiser steps between two checkpoints inside an epoch."""
    checkpoint_minutes: float = setting(2.0, NOT_NEGATIVE)
    """At the end of an epoch a checkpoint is written where the last one is older; 0: after every epoch. The end of a
    phase, and a signal, always leave one."""
    keep_checkpoints: bool = False
    """Keep the folder checkpoints/ after success."""
    track: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()
    """Trackers that get losses, rates, scores and settings as well; several may be named."""
