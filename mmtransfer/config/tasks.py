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
SEES: Mapping[str, str] = {
    IMAGE: "a picture -> a label, labels or a number",
    TEXT: "a text, or a pair -> a label, labels or a number",
    SPEECH: "a recording -> what is said",
    AUDIO: "a recording -> a label, labels or a number",
    TAGS: "a list of words -> a tag for each",
}
"""By task, what a model sees and what it says."""
