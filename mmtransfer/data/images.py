"""Images as pixels: any mode -> RGB -> a normalised square, the same on every machine and in every worker."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmtransfer.data.table import File
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jfif"}
)
_DRAFT = 64
"""Pixels at which the check decodes a JPEG: the whole file is read, most of the arithmetic is saved."""
_BAD = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, Image.DecompressionBombError)
"""What Pillow raises on broken files; SyntaxError is its word for a broken PNG or TIFF."""


def decode(image: Mapping[str, Any]) -> Image.Image:
    """An image as 8-bit RGB, upright by its EXIF rotation.

    Grey becomes three equal channels, 16-bit is scaled to 8, transparency is dropped (as torchvision's loader does),
    an animation gives its first frame. Raises MMTransferError if the file cannot be read.
    """
    try:
        with _open(image) as opened:
            return _rgb(ImageOps.exif_transpose(opened))
    except _BAD as error:
        where = image["path"] or "an image in memory"
        raise MMTransferError(_reason(error), where, "replace the file, or leave it out") from None


def fault(image: Mapping[str, Any]) -> str | None:
    """Why an image cannot be used, judged by decoding it (JPEG at a small scale); None if it can."""
    try:
        with _open(image) as opened:
            opened.draft("RGB", (_DRAFT, _DRAFT))
            _rgb(opened)
    except _BAD as error:
        return _reason(error)
    return None


def from_array(pixels: np.ndarray) -> File:
    """A uint8 array (height, width, 3) or (height, width) as a PNG in memory; ValueError says what else it is."""
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)) or pixels.size == 0:
        raise ValueError(f"an array must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    return from_pil(Image.fromarray(pixels))


def from_pil(image: Image.Image) -> File:
    """A PIL image as a PNG in memory."""
    buffer = io.BytesIO()
    _rgb(image).save(buffer, "PNG", compress_level=1)
    return {"path": None, "bytes": buffer.getvalue()}


@dataclass(frozen=True)
class ImageTransform:
    """RGB image -> what a network sees: float32 (3, size, size), normalised.

    `size`: pixels of a side; `mean`, `std`: of each channel, for pixels in 0..1; `crop_pct`: without a seed the
    shorter side becomes round(size / crop_pct) pixels before the centre crop; `augment`: what is drawn with a seed.
    light: a random crop of 0.35 to 1 of the area (Szegedy et al. 2015) and a horizontal flip; strong: then one change
    of colour or geometry of any strength (TrivialAugment, Mueller & Hutter 2021), and in a quarter of the images a
    rectangle erased (Zhong et al. 2020).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float = 0.875
    augment: str = "none"

    def __call__(self, image: Image.Image, seed: int | None = None) -> Tensor:
        """A pure function of (image, seed): the global random state is neither read nor moved."""
        from torchvision.transforms import v2
        from torchvision.transforms.v2 import functional as F

        if self.augment == "none" or seed is None:
            image = F.resize(image, [round(self.size / self.crop_pct)], antialias=True)
            return self._pixels(F.center_crop(image, [self.size, self.size]))
        # torchvision draws from torch's global generator; the CPU one only, so that no accelerator is seeded
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            box = v2.RandomResizedCrop.get_params(image, scale=(0.35, 1.0), ratio=(3 / 4, 4 / 3))
            flip = bool(torch.rand(()) < 0.5)
            image = F.resized_crop(image, *box, size=[self.size, self.size], antialias=True)
            image = F.horizontal_flip(image) if flip else image
            if self.augment == "light":
                return self._pixels(image)
            pixels = self._pixels(v2.TrivialAugmentWide()(image))
            return v2.RandomErasing(p=0.25)(pixels)  # of normalised ones: what is erased becomes 0, the mean

    def _pixels(self, image: Image.Image) -> Tensor:
        from torchvision.transforms.v2 import functional as F

        pixels = F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True)
        return F.normalize(pixels, list(self.mean), list(self.std), inplace=True)


def _open(image: Mapping[str, Any]) -> Image.Image:
    return Image.open(image["path"] if image["bytes"] is None else io.BytesIO(image["bytes"]))


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; Pillow's own conversion would cut 16-bit values off at 255 and warn about transparent palettes."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(values.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.asarray(image)
        scaled = np.nan_to_num(values) * (255.0 if np.nanmax(values) <= 1.0 else 1.0)
        return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(error: BaseException) -> str:
    return f"not a readable image ({str(error).split(' <_io')[0] or type(error).__name__})"
