"""Images: files, bytes, PIL images, arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import __version__

from mmtransfer.data import images
from mmtransfer.data.file import File
from mmtransfer.data.kinds.files import FileKind


class Image(FileKind):
    """A picture in any format that Pillow reads."""

    name = "image"
    answer = "label"
    called = "images"
    suffixes = images.SUFFIXES
    reader = f"pillow {__version__}"

    def decoded(self, value: Any, rate: int) -> File | None:
        if isinstance(value, Pillow.Image):
            return images.from_pil(value)
        if isinstance(value, torch.Tensor):
            value = _pixels(value)
        return images.from_array(value) if isinstance(value, np.ndarray) else None

    def fault_of_contents(self, file: File, max_seconds: float | None) -> str | None:
        return images.fault(file)


def _pixels(value: torch.Tensor) -> np.ndarray:
    """A tensor as an array; of numbers from 0 to 1 with the channels first, as torchvision makes them, their bytes."""
    value = value.detach().cpu()
    if value.is_floating_point():
        value = value.float()  # NumPy has no bfloat16
        if value.ndim == 3 and value.shape[0] in (1, 3):
            if not (value.numel() and float(value.min()) >= 0 and float(value.max()) <= 1):
                raise ValueError("a tensor (channels, height, width) must be from 0 to 1: leave out Normalize")
            value = (value * 255).round().to(torch.uint8)
    if value.ndim == 3 and value.shape[0] in (1, 3) and value.dtype == torch.uint8 and value.shape[2] != 3:
        value = value.permute(1, 2, 0)
        value = value[:, :, 0] if value.shape[2] == 1 else value
    return value.numpy()
