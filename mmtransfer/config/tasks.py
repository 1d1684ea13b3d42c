"""The table of tasks: what a model sees, times what it is to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

IMAGE, TEXT, SPEECH = "image-classification", "text-classification", "speech-recognition"
AUDIO, TAGS = "audio-classification", "token-classification"


class Parts(NamedTuple):
    """What a task is made of."""

    input: str
    """The name of its input."""
    targets: tuple[str, ...]
    """The names of its targets, the default first."""


LABELS = ("single-label", "multi-label", "regression")
"""Targets of one vector an example."""

TASKS: Mapping[str, Parts] = {
    IMAGE: Parts("image", LABELS),
    TEXT: Parts("text", LABELS),
    SPEECH: Parts("audio", ("transcript",)),
    AUDIO: Parts("audio", LABELS),
    TAGS: Parts("words", ("tags",)),
}
