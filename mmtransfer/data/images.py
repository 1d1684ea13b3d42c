"""Images as pixels: any mode -> RGB -> a square of bytes, the same on every machine and in every worker; normalised
where the network is."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from mmtransfer.data.file import File, location, openable
from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jfif"}
)
_DRAFT = 64
"""Pixels at which the check decodes a JPEG: the whole file is read, most of the arithmetic is saved."""
_ROWS = 256
"""Rows whose depth is changed at a time: the picture is never there a second time in a wider type."""
_LONGEST = 100
"""Times its shorter side from which a picture's longer one is cut before it is resized: 1 x 100,000 pixels would become
gigabytes."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture upright, by its EXIF orientation."""


def decode(image: Mapping[str, Any]) -> Image.Image:
    """An image as 8-bit RGB, upright by its EXIF rotation.

    Grey becomes three equal channels, 16-bit is scaled to 8, transparency is dropped (as torchvision's loader does),
    an animation gives its first frame. Raises MMTransferError if the file cannot be read or has more pixels than Pillow
    takes for harmless (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    return _decoded(image)


def shrunk(image: Mapping[str, Any], side: int) -> Tensor:
    """An image as `decode` has it, uint8 (height, width, 3), its shorter side at most `side` pixels; never enlarged.

    A JPEG is decoded at the smallest scale of its own that is large enough, which is several times as fast.
    """
    from torchvision.transforms.v2 import functional as F

    picture = _middle(_decoded(image, side))
    if min(picture.size) > side:
        picture = F.resize(picture, [side], antialias=True)
    return torch.from_numpy(np.array(picture))


def _decoded(image: Mapping[str, Any], least: int | None = None) -> Image.Image:
    """`least`: pixels that a JPEG's sides need to have at least."""
    try:
        with _open(image) as opened:
            _limited(opened)
            if least is not None:
                opened.draft("RGB", (least, least))
            return _rgb(_upright(opened))
    except Exception as error:  # of broken files its formats raise anything, struct.error and KeyError among them
        raise MMTransferError(
            _reason(error), location(image, "an image"), "replace the file, or leave it out"
        ) from None


def fault(image: Mapping[str, Any]) -> str | None:
    """Why an image cannot be used, judged by decoding it (JPEG at a small scale); None if it can."""
    try:
        with _open(image) as opened:
            _limited(opened).draft("RGB", (_DRAFT, _DRAFT))
            _rgb(opened.crop((0, 0, 1, 1)))  # cutting decodes all of it; whether its mode can be read one pixel tells
    except Exception as error:  # as in `decode`
        return _reason(error)
    return None


def most_pixels() -> int | None:
    """Pixels of the largest image that can be used, None: any."""
    return Image.MAX_IMAGE_PIXELS


@contextmanager
def own_limit() -> Iterator[None]:
    """Keeps Pillow's warning of large pictures quiet where `fault` tells them; around threads, not within one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def from_array(pixels: np.ndarray) -> File:
    """A uint8 array (height, width, 3) or (height, width) as a PNG in memory; ValueError says what else it is."""
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)) or pixels.size == 0:
        raise ValueError(f"an array must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    return from_pil(Image.fromarray(pixels))


def from_pil(image: Image.Image) -> File:
    """A PIL image as a PNG in memory, upright as `decode` makes it; ValueError says why it cannot be read."""
    buffer = io.BytesIO()
    try:
        _limited(image)
        _rgb(_upright(image)).save(buffer, "PNG", compress_level=1)
    except Exception as error:  # as in `decode`: what Pillow has opened it may not have read
        raise ValueError(_reason(error)) from None
    return {"path": None, "bytes": buffer.getvalue()}


CROP_PCT = 0.875
"""The crop of ImageNet's first networks, where neither the user nor a checkpoint's processor says another."""


@dataclass(frozen=True)
class ImageTransform:
    """RGB image -> uint8 (3, size, size), of which `normalise` makes what a network sees.

    `size`: pixels of a side; `mean`, `std`: of each channel, for pixels in 0..1; `crop_pct`: without a seed the
    shorter side becomes round(size / crop_pct) pixels before the centre crop; `augment`: what is drawn with a seed.
    light: a random crop of 0.35 to 1 of the area (Szegedy et al. 2015) and a horizontal flip; strong: then two of 14
    changes of colour or geometry at three tenths of their full strength (RandAugment, Cubuk et al. 2020), and in a
    quarter of the images a rectangle erased (Zhong et al. 2020).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float = CROP_PCT
    augment: str = "none"

    def __call__(self, image: Image.Image | Tensor, seed: int | None = None) -> Tensor:
        """A pure function of (image, seed): the global random state is neither read nor moved.

        `image`: with a seed also uint8 (3, height, width), whose pixels are resized to within one of 256 levels of
        those of a PIL image.
        """
        from torchvision.transforms import v2
        from torchvision.transforms.v2 import functional as F

        if self.augment == "none" or seed is None:
            assert isinstance(image, Image.Image)  # what evaluation sees is that of every earlier version
            image = F.resize(_middle(image), [round(self.size / self.crop_pct)], antialias=True)
            return F.pil_to_tensor(F.center_crop(image, [self.size, self.size]))
        # torchvision draws from torch's global generator; the CPU one only, so that no accelerator is seeded
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            box = v2.RandomResizedCrop.get_params(image, scale=(0.35, 1.0), ratio=(3 / 4, 4 / 3))
            flip = bool(torch.rand(()) < 0.5)
            image = F.resized_crop(image, *box, size=[self.size, self.size], antialias=True)
            image = F.horizontal_flip(image) if flip else image
            if self.augment == "light":
                return _tensor(image)
            pixels = _tensor(v2.RandAugment(num_ops=2, magnitude=9)(image))
            middle = [min(255.0, max(0.0, round(255 * mean))) for mean in self.mean]  # nearly 0 when normalised
            return v2.RandomErasing(p=0.25, value=middle)(pixels)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (batch, 3, size, size) -> float32, normalised by `mean` and `std`, on the device where the pixels are:
        only a quarter of the bytes has to get there."""
        scaled = pixels.to(torch.float32).mul_(1 / 255)
        return scaled.sub_(_of_channels(self.mean, pixels.device)).div_(_of_channels(self.std, pixels.device))


@lru_cache(maxsize=16)
def _of_channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(channels, 1, 1), made once: a copy for each batch would wait for the device."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _tensor(image: Image.Image | Tensor) -> Tensor:
    """uint8 (3, height, width)."""
    from torchvision.transforms.v2 import functional as F

    return image.contiguous() if isinstance(image, Tensor) else F.pil_to_tensor(image)


def _open(image: Mapping[str, Any]) -> Image.Image:
    return Image.open(openable(image))


def _limited(image: Image.Image) -> Image.Image:
    """The image, if it has no more pixels than Pillow warns of."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF says; as it is, where that cannot be read.

    `ImageOps.exif_transpose` also writes the rest of the EXIF anew, and fails where that is broken.
    """
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are there: whatever is wrong is wrong with what is told about them
        return image
    return image if turn is None else image.transpose(turn)


def _middle(image: Image.Image) -> Image.Image:
    """The image, of a strip the middle: more than the centre crop leaves of it."""
    width, height = image.size
    side = min(width, height)
    if max(width, height) <= _LONGEST * side:
        return image
    left, top = (max(0, (length - _LONGEST * side) // 2) for length in image.size)
    return image.crop((left, top, width - left, height - top))


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; Pillow's own conversion would cut 16-bit values off at 255 and warn about transparent palettes."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        # in whole numbers: 257 is odd, so that no value lies between two
        return _eight_bit(values, lambda rows: (rows.clip(0, 65535).astype(np.uint32) + 128) // 257)
    if image.mode == "F":
        values = np.asarray(image)
        scale = np.float32(255 if np.fmax.reduce(values, axis=None) <= 1 else 1)
        return _eight_bit(values, lambda rows: np.rint((np.nan_to_num(rows.clip(-1e30, 1e30)) * scale).clip(0, 255)))
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _eight_bit(values: np.ndarray, scaled: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Grey values (height, width), `scaled` to 0..255 some rows at a time, as RGB."""
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):
        grey[top : top + _ROWS] = scaled(values[top : top + _ROWS])
    return Image.fromarray(grey).convert("RGB")


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"the image has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the most that is read: make it smaller"
    return f"not a readable image ({str(error).split(' <_io')[0] or type(error).__name__})"
