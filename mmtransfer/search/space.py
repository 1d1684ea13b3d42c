"""What is tried on a backbone, as data: strategies, rates and regularisation, the likeliest to win first.

A new way is one line here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.defaults import DEFAULTS

PARAMETERS = 9e7
"""Parameters of the backbones that the tasks' default rates are for, such as BERT's base size."""
LARGEST_RATE = 10.0
"""Of smaller networks, over the default."""
STEPS, LONGEST = 300, 30
"""Optimiser steps that a training should have, and the most epochs that are taken to reach them."""


@dataclass(frozen=True)
class Way:
    """A way to adapt a backbone."""

    strategy: str
    rate: float = 1.0
    """Learning rate, over the usual one of a backbone of its width."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the strategy."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the run."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        extras = [f"{key.replace('_', '-')} {value}" for key, value in {**self.options, **self.settings}.items()]
        return " ".join([self.strategy, *([f"x{self.rate:g}"] if self.rate != 1 else []), *extras])


SMOOTHED: Mapping[str, Any] = {"label_smoothing": 0.1}
DECAYED: Mapping[str, Any] = {"weight_decay": 0.1}
_LABELS = (
    Way("lp-ft", settings=SMOOTHED),
    Way("lp-ft", 3.0),
    Way("lp-ft"),
    Way("full"),
    Way("partial", 3.0),
    Way("lp-ft", 0.3),
    Way("lp-ft", 3.0, settings=DECAYED),
    Way("bitfit"),
    Way("full", 3.0, settings=SMOOTHED),
    Way("partial", 1.0),
    Way("norm"),
    Way("full", 0.3),
)
SPACE: Mapping[str, tuple[Way, ...]] = {
    TEXT: _LABELS,
    IMAGE: (*_LABELS, Way("full", settings={"augment": "strong"}), Way("lp-ft", settings={"augment": "none"})),
    AUDIO: (*_LABELS, Way("full", settings={"augment": "light"})),
    TAGS: (
        Way("full"),
        Way("full", 3.0),
        Way("lp-ft"),
        Way("partial", 3.0),
        Way("full", 0.3),
        Way("full", settings=DECAYED),
        Way("bitfit"),
    ),
    SPEECH: (
        Way("full"),
        Way("full", 3.0),
        Way("full", settings={"mask_prob": 0.1}),
        Way("full", 0.3),
        Way("full", options={"head_epochs": 1}),
        Way("full", settings={"mask_prob": 0.0}),
    ),
}
"""By task."""


def rate_of(task: str, parameters: int) -> float:
    """The usual rate of a backbone of this size: small networks want higher ones. MiniLM gets 1e-4, the built-in
    backbones 3e-4 (texts) to 8e-4 (images), which is near what was best for them in trials."""
    return float(DEFAULTS[task]["lr"]) * min(LARGEST_RATE, max(1.0, (PARAMETERS / max(1, parameters)) ** 0.5))


def epochs_of(task: str, examples: int, batch_size: int) -> int:
    """Epochs of a whole training: the task's default, more where there are few examples."""
    steps = max(1, math.ceil(examples / batch_size))
    return max(int(DEFAULTS[task]["epochs"]), min(LONGEST, math.ceil(STEPS / steps)))
