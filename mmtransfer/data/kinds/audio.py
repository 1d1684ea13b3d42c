"""Recordings: files, bytes, arrays of samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile
import torch

from mmtransfer.data import audio
from mmtransfer.data.file import File
from mmtransfer.data.kinds.files import FileKind

logger = logging.getLogger("mmtransfer")
ARRAY = np.ndarray | torch.Tensor
_DECODED = ("array", "sampling_rate")
"""What `datasets` calls the samples of a decoded recording and their rate."""


class Audio(FileKind):
    """A recording, or a segment of one, in any format that libsndfile reads."""

    name = "audio"
    answer = "transcript"
    called = "recordings"
    suffixes = audio.SUFFIXES
    reader = f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}"
    group = "speaker"
    groups_guessed = True
    segments = True

    def decoded(self, value: Any, rate: int) -> File | None:
        if isinstance(value, dict) and value.get("array") is not None:
            return audio.from_rated(value["array"], value.get("sampling_rate"))
        if isinstance(value, list | tuple) and len(value) == 2:
            return audio.from_rated(*value)
        return audio.from_rated(value, rate) if isinstance(value, ARRAY) else None

    def fault_of_contents(self, file: File, max_seconds: float | None) -> str | None:
        return audio.fault(file, max_seconds)

    def extent(self, file: File) -> tuple[int, int]:
        return audio.extent(file)

    def gather(self, row: dict[str, Any], column: str | None) -> dict[str, Any]:
        """Samples and rate that stand among the columns become one of them."""
        name = column or self.name
        if name in row or not all(part in row for part in _DECODED):
            return row
        kept = {own: value for own, value in row.items() if own not in (*_DECODED, "path")}
        return {name: {part: row[part] for part in _DECODED}, **kept}

    def tell(self, values: Sequence[Any], rate: int) -> None:
        """How many recordings are arrays alone, and at which rate they are taken."""
        count = sum(isinstance(value, ARRAY) for value in values)
        if count:
            logger.warning(
                "%d recording(s) are arrays without a rate, taken at %d samples a second, the model's: give "
                "(samples, rate) where theirs is another",
                count,
                rate,
            )
