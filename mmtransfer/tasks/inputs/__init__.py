"""What a model sees of an example, by name. A new one: a file with a subclass of `Input`, a word here."""

from __future__ import annotations

from collections.abc import Mapping

from mmtransfer.tasks.inputs.audio import AudioInput
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.inputs.image import ImageInput
from mmtransfer.tasks.inputs.text import TextInput

INPUTS: Mapping[str, type[Input]] = {"image": ImageInput, "text": TextInput, "words": TextInput, "audio": AudioInput}
"""By the name in `config.TASKS`."""

__all__ = ["INPUTS", "AudioInput", "ImageInput", "Input", "TextInput"]
