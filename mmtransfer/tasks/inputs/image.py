"""Images of any size and mode as squares, normalised where the network is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.data import images
from mmtransfer.data.columnar import Rows
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Encoded, Reads
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.mixture import Mixture

PIXELS = 4 * 224 * 224
"""Most pixels of a batch of pictures on a CPU, where each core takes batches of its own: maps of more pictures outgrow
its caches. 1.0x (ViT, ConvNeXt, CIFAR's 64 pixels) to 1.3x (MobileNet v2, EfficientNet, DenseNet) the pictures/s of
64 at a time on both of 2 cores."""

KEPT = 1.15
"""Times the size of what a network sees, the shorter side of pictures that are decoded once for random crops."""


class ImageInput(Input):
    """Pixels, uint8 (3, size, size), through torchvision's transforms."""

    modality = "image"
    kind = "image"
    unit = None
    budgeted = "micro_batch_size"

    def __init__(self, config: RunConfig, backbone: Backbone, reads: Reads) -> None:
        own = backbone.preprocess
        size = int(config.image_size or own.get("image_size", 224))
        if own.get("fixed_size") and size != own["image_size"]:
            raise MMTransferError(
                f"{backbone.name} takes images of {own['image_size']} pixels, not {size}",
                f"--image-size {size}",
                f"give --image-size {own['image_size']}, or leave it out",
            )
        if size < own.get("smallest_size", 1):
            raise MMTransferError(
                f"Images of {size} pixels leave nothing for the last layers of {backbone.name}",
                f"--image-size {size}",
                f"give at least {own['smallest_size']}, or leave it out: {own['image_size']}",
            )
        super().__init__(dataclasses.replace(config, image_size=size), backbone, reads)
        self.transform = images.ImageTransform(
            size=size,
            mean=tuple(config.mean or own["mean"]),
            std=tuple(config.std or own["std"]),
            crop_pct=config.crop_pct or (own.get("crop_pct") if backbone.own_crop else None) or images.CROP_PCT,
            augment=config.augment if config.augment in ("light", "strong") else "none",
        )

    def columns(self) -> dict[str, Any]:
        return {"file": self.config.file_column}

    def rows(self, table: Table) -> tuple[Rows, np.ndarray]:
        return table.rows, np.ones(len(table), np.int32)

    def encode(self, row: Mapping[str, Any], seed: int | None, least: int, decoded: Tensor | None = None) -> Encoded:
        if decoded is None:
            return Encoded(self.transform(images.decode(row["image"]), seed))
        drawn = self.augments and seed is not None
        return Encoded(self.transform(decoded.permute(2, 0, 1), seed) if drawn else decoded)

    def decoding(self, augmented: bool) -> dict[str, Any]:
        return {"shorter side": self._shorter_side} if augmented else self.encoding()

    def decode(self, row: Mapping[str, Any], augmented: bool) -> Tensor:
        """Small enough to be kept: for random crops uint8 (height, width, 3), for evaluation what that sees."""
        if augmented:
            return images.shrunk(row["image"], self._shorter_side)
        return self.transform(images.decode(row["image"]))

    @property
    def _shorter_side(self) -> int:
        return round(KEPT * self.transform.size)

    def on_device(self, state: State) -> State:
        return {**state, "x": self.transform.normalise(state["x"])}

    @property
    def augments(self) -> bool:
        return self.transform.augment != "none" or self.mixture is not None

    @property
    def mixture(self) -> Mixture | None:
        return Mixture(self.config.mixup, self.config.cutmix) or None

    def encoding(self) -> dict[str, Any]:
        pixels = {name: value for name, value in dataclasses.asdict(self.transform).items() if name != "augment"}
        return pixels | {"resize": "bilinear, antialiased", "normalised": "on the device"}

    def exported(self) -> dict[str, Any]:
        own = self.transform
        return {"pictures": {"image_size": own.size, "crop_pct": own.crop_pct, "mean": own.mean, "std": own.std}}

    def most(self) -> int:
        return self.config.batch_size

    def bound(self, length: int, share: float = 1.0) -> str:
        return f"--image-size {int(self.transform.size * share**0.5)}"

    def rows_a_core(self) -> int:
        return max(1, PIXELS // self.transform.size**2)
