"""What comes with the installation: data and backbones, as they are told without being read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mmtransfer.config.tasks import AUDIO, IMAGE, SPEECH, TAGS, TEXT


class Supplied(NamedTuple):
    """Data or a backbone."""

    tasks: tuple[str, ...]
    about: str
    licence: str
    file: str | None
    """Relative to the package; None where another package brings it."""


_COMMANDS = "data/builtin_commands.parquet"
DATA: Mapping[str, Supplied] = {
    "digits": Supplied((IMAGE,), "1,797 handwritten digits of 8x8 pixels, 10 classes", "CC BY 4.0", None),
    "library": Supplied(
        (TEXT,), "1,744 docstrings of Python's library, 10 areas", "PSF-2.0", "data/builtin_library.parquet"
    ),
    "commands": Supplied((SPEECH,), "432 spoken commands, synthesised, 36 voices", "Apache-2.0", _COMMANDS),
    "keywords": Supplied((AUDIO,), "the longer of these commands, 9 kinds", "Apache-2.0", _COMMANDS),
    "identifiers": Supplied(
        (TAGS,), "5,270 sentences, names of code are marked", "PSF-2.0", "data/builtin_identifiers.parquet"
    ),
}
"""By name, as `builtin:NAME`."""
BACKBONES: Mapping[str, Supplied] = {
    "image": Supplied((IMAGE,), "ShuffleNet v2 x1.0, 1.3 M parameters", "Apache-2.0", "builtin/image"),
    "text": Supplied((TEXT, TAGS), "BERT of 3 layers, 3.5 M parameters", "Apache-2.0", "builtin/text"),
    "speech": Supplied((SPEECH, AUDIO), "Wav2Vec2, 2.8 M parameters", "Apache-2.0", "builtin/speech"),
}
"""Likewise."""
