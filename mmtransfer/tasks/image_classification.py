"""Image classification: pixels through torchvision transforms, pooled features, a head."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np

from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import IMAGE, RunConfig
from mmtransfer.data import images
from mmtransfer.data.sources import Columns, Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Encoded
from mmtransfer.tasks.classification import Classification

logger = logging.getLogger("mmtransfer")
PIXELS = 4 * 224 * 224
"""Most pixels of a batch of pictures on a CPU, where each core takes batches of its own: maps of more pictures outgrow
its caches. 1.0x (ViT, ConvNeXt, CIFAR's 64 pixels) to 1.3x (MobileNet v2, EfficientNet, DenseNet) the pictures/s of
64 at a time on both of 2 cores."""


class ImageClassification(Classification):
    """Images of any size and mode -> a label, labels or a number each."""

    name = IMAGE
    modality = "image"
    unit = None

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
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
        super().__init__(dataclasses.replace(config, image_size=size), backbone)
        self.transform = images.ImageTransform(
            size=size,
            mean=tuple(config.mean or backbone.preprocess["mean"]),
            std=tuple(config.std or backbone.preprocess["std"]),
            crop_pct=float(config.crop_pct or 1.0),
            augment=config.augment if config.augment in ("light", "strong") else "none",
        )
        if self.budget() < int(config.batch_size or 1):
            logger.warning(
                "BatchNorm sees micro-batches of %d images, not the step's %d", self.budget(), config.batch_size
            )

    def columns(self) -> Columns:
        return Columns(file=self.config.file_column, **self.answer_columns())

    def rows(self, table: Table) -> tuple[datasets.Dataset, np.ndarray]:
        return table.rows, np.ones(len(table), np.int32)

    def encode(self, row: Mapping[str, Any], seed: int | None) -> Encoded:
        return Encoded(self.transform(images.decode(row["image"]), seed), target=self.target_of(row))

    @property
    def augments(self) -> bool:
        return self.transform.augment != "none"

    def encoding(self) -> dict[str, Any]:
        pixels = {name: value for name, value in dataclasses.asdict(self.transform).items() if name != "augment"}
        return pixels | {"resize": "bilinear, antialiased"}

    def budget(self) -> int:
        return int(self.config.micro_batch_size or self.config.batch_size or 1)

    def rows_a_core(self) -> int:
        return max(1, PIXELS // self.transform.size**2)
