"""Examples as they are once decoded, so that a file is decoded once and not in every epoch.

They are an entry of `cache/features.py`, whose rows are bytes: a header of four int32, the number of the type in TYPES
and three sizes (-1 where there are fewer), and then the values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmtransfer.backbones.staged import State
from mmtransfer.cache.features import Features

TYPES = (torch.uint8, torch.int16, torch.float32)
_SIZES = 3
_HEADER = 4 * (1 + _SIZES)


class Decoded:
    """Decoded examples by their numbers.

    Args:
        features: rows that `packed` has made.
        augmented: whether they are what augmentation is drawn from, and not what evaluation sees.
    """

    def __init__(self, features: Features, augmented: bool) -> None:
        self.features, self.augmented = features, augmented

    def __getitem__(self, index: int) -> Tensor:
        """As it was given to `packed`; of pictures no copy, so that a crop reads no more of the file than it needs."""
        return unpacked(self.features.row(index))

    def of(self, indices: Sequence[int]) -> list[Tensor]:
        return [self[index] for index in indices]


def packed(values: Tensor) -> State:
    """A tensor of up to three axes as the state of a batch of one, uint8 (1, bytes)."""
    sizes = [*values.shape, *[-1] * (_SIZES - values.ndim)]
    header = torch.tensor([TYPES.index(values.dtype), *sizes], dtype=torch.int32).view(torch.uint8)
    x = torch.cat([header, values.contiguous().reshape(-1).view(torch.uint8)])
    return {"x": x[None], "lengths": torch.tensor([len(x)])}


def unpacked(row: Tensor) -> Tensor:
    """What `packed` was given, of uint8 (bytes,)."""
    kind, *sizes = np.frombuffer(row[:_HEADER].numpy().tobytes(), "<i4").tolist()
    values = row[_HEADER:]
    if kind:  # wider values begin at whole multiples of their size
        values = values.clone().view(TYPES[kind])
    return values.reshape([size for size in sizes if size >= 0])
