"""What each task takes where the user says nothing. Here, and not beside the tasks, so that `--help` shows the values
without loading torch.

AdamW 1e-4 with cosine for images; 5e-5 at BERT's base size (Devlin et al. 2019 search 2e-5 to 5e-5; a network of 6
layers and 384 channels wants 1e-4 to 3e-4); 1e-4 and a tri-stage schedule for CTC (Baevski et al. 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmtransfer.config import AUDIO, FIELDS, IMAGE, SPEECH, TAGS, TEXT, RunConfig, default_of
from mmtransfer.errors import MMTransferError

_TEXTS: Mapping[str, Any] = {
    "strategy": "full",
    "max_length": 128,
    "micro_batch_tokens": 4096,
    "epochs": 4,
    "batch_size": 32,
    "lr": 5e-5,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 0.06,
}
_RECORDINGS: Mapping[str, Any] = {
    "backbone": "facebook/wav2vec2-base",
    "strategy": "full",
    "max_seconds": 30.0,
    "augment": "none",
    "mask_prob": 0.05,
    "micro_batch_seconds": 32.0,
    "batch_size": 32,
    "lr": 1e-4,
    "optimizer": "adamw",
    "weight_decay": 0.005,
    "warmup": 0.1,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    IMAGE: {
        "backbone": "resnet50",
        "strategy": "full",
        "augment": "auto",
        "label_smoothing": 0.0,
        "epochs": 10,
        "batch_size": 32,
        "lr": 1e-4,
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup": 0.05,
    },
    TEXT: {**_TEXTS, "backbone": "google-bert/bert-base-uncased", "label_smoothing": 0.0},
    TAGS: {**_TEXTS, "backbone": "google-bert/bert-base-cased"},
    SPEECH: {**_RECORDINGS, "epochs": 20, "schedule": "tri-stage"},
    AUDIO: {**_RECORDINGS, "epochs": 10, "schedule": "cosine", "label_smoothing": 0.0},
}
"""By task, the values of fields that are None."""
BY_DEVICE = ("micro_batch_tokens", "micro_batch_seconds")
"""Of these, what is for a CPU alone: on a GPU its memory decides."""

HEAD_LR_RATIO = 10.0
"""The rate of a fresh head over that of a pretrained backbone which trains with it (benchmarks/head_rates.md)."""
LIKE_THE_BACKBONE = 1.0
"""The same of CTC, whose head has thousands of frames to learn from, and of the built-in cases, whose rates are high:
at ten times 1e-3 the head loses three points on the digits."""


@dataclass(frozen=True)
class Builtin:
    """What a task takes for `--train builtin`: `data` always, `model` unless the user names a backbone, and `scratch`
    over it where all is trained from random weights, which wants a higher rate. `minutes`: of one such run on 2 cores,
    about."""

    data: Mapping[str, Any]
    model: Mapping[str, Any]
    scratch: Mapping[str, Any] = field(default_factory=dict)
    minutes: float = 1.0


CASE = "builtin"
"""As training data: the task's own built-in data, with the settings that suit it."""

BUILTIN: Mapping[str, Builtin] = {
    IMAGE: Builtin(
        # all 1,294 digits leave a pretrained backbone nothing to add: random weights learn them as well
        data={
            "train": "builtin:digits",
            "shots": 10,
            "image_size": 64,
            "crop_pct": 1.0,
            "augment": "none",
            "epochs": 30,
        },
        model={"backbone": "builtin", "lr": 1e-3},
        scratch={"lr": 3e-3},
    ),
    TEXT: Builtin(
        data={"train": "builtin:library", "validation_fraction": 0.2, "epochs": 12, "batch_size": 16},
        model={"backbone": "builtin", "lr": 3e-4},
        scratch={"lr": 1e-3},
    ),
    SPEECH: Builtin(
        # random speeds, gains and noise: without, twenty epochs hear voices they do not know worse than fourteen with
        data={"train": "builtin:commands", "epochs": 14, "batch_size": 16, "augment": "auto"},
        model={"backbone": "builtin", "vocabulary": "backbone", "lr": 1e-3},
        scratch={"vocabulary": "train", "lr": 1e-3},
        minutes=1.5,
    ),
    AUDIO: Builtin(
        data={"train": "builtin:keywords", "epochs": 8, "batch_size": 16},
        model={"backbone": "builtin", "lr": 6e-4},
        scratch={"lr": 1e-3},
    ),
    TAGS: Builtin(
        data={"train": "builtin:identifiers", "epochs": 5, "batch_size": 16},
        model={"backbone": "builtin", "lr": 3e-4},
        scratch={"lr": 1e-3},
    ),
}
"""By task; it comes before DEFAULTS."""

DEMO = (IMAGE, TEXT, SPEECH)
"""The tasks of `mmtransfer demo`, of a few minutes in all."""

OWN_DATA: Mapping[str, str] = {
    IMAGE: "--train pictures/train --test pictures/val",
    TEXT: "--train train.csv --test test.csv",
    SPEECH: "--train speech/train --test speech/test",
    AUDIO: "--train recordings/train --test recordings/test",
    TAGS: "--train train.conll --test test.conll",
}
"""By task, how a command names data of the user's own."""


def without_data(task: str) -> MMTransferError:
    """The error for a run that was given no training data."""
    own = BUILTIN[task].data["train"] if task in BUILTIN else "builtin:NAME"
    return MMTransferError(
        f"There is no training data for {task}",
        "--train",
        f"give --train DATA; to try it: --train {own} --backbone builtin, or `mmtransfer demo` for every task",
    )


def as_given(values: Mapping[str, Any], task: str | None = None) -> dict[str, Any]:
    """Of a whole record of settings (a RunConfig, a config.json) those that somebody may have chosen.

    A record holds every value and does not say who chose it: what is at the default of its field or of its task is
    taken for not chosen, here and nowhere else. `task`: whose defaults these are, where the record does not say it.
    """
    usual = DEFAULTS.get(task or values.get("task", RunConfig.task), {})
    known = {name: usual.get(name, default_of(name)) for name in FIELDS}
    return {
        name: value
        for name, value in values.items()
        if name == "task" or (value is not None and (known.get(name) is None or value != known[name]))
    }
