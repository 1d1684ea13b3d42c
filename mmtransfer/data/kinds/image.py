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
        if isinstance(value, torch.Tensor):  # NumPy has no bfloat16
            value = (value.float() if value.is_floating_point() else value).detach().cpu().numpy()
        return images.from_array(value) if isinstance(value, np.ndarray) else None

    def fault_of_contents(self, file: File, max_seconds: float | None) -> str | None:
        return images.fault(file)
