"""What an input is: one example's file or text as tensors, and all that depends on what kind of input it is."""

from __future__ import annotations

import dataclasses
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.data.columnar import Rows
from mmtransfer.data.table import Table
from mmtransfer.tasks.base import Encoded, Reads
from mmtransfer.tasks.mixture import Mixture

logger = logging.getLogger("mmtransfer")


class Input(ABC):
    """The protocol of an input. It knows nothing of answers, strategies or the engine."""

    modality: ClassVar[str]
    """The kind of backbone that reads it."""
    kind: str
    """The kind of its column, of `data.kinds.INPUTS`."""
    config: RunConfig
    """The settings, with what they leave to the backbone filled in."""
    unit: float | None = 1.0
    """What one unit of length is worth in result.json's throughput: tokens 1, samples seconds; None for fixed sizes."""
    masks: bool = False
    """Whether training hides frames at random: `mask` says which."""
    budgeted: ClassVar[str]
    """The setting that says how much of it a micro-batch holds."""

    def __init__(self, config: RunConfig, backbone: Backbone, reads: Reads) -> None:
        """Raises MMTransferError for settings that the backbone does not allow. `reads`: what a head sees of it."""
        self.config, self.reads = config, reads

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """The columns that the configuration names, as `Columns` takes them."""

    def learn(self, table: Table) -> None:  # noqa: B027  # nothing, for most
        """Takes from the training table what all other tables must have too."""

    def check(self, table: Table, split: str) -> Table:
        """The table without inputs that cannot be used; raises MMTransferError for those, unless --skip-bad."""
        return table

    @property
    def augments(self) -> bool:
        """Whether what `encode` gives in training depends on its seed."""
        return False

    @property
    def mixture(self) -> Mixture | None:
        """How examples are mixed in training; None: they are not."""
        return None

    @abstractmethod
    def rows(self, table: Table) -> tuple[Rows, np.ndarray]:
        """Rows ready for `encode`, and each one's length in tokens or samples (int32; ones for fixed sizes)."""

    @abstractmethod
    def encode(self, row: Mapping[str, Any], seed: int | None, least: int, decoded: Tensor | None = None) -> Encoded:
        """An example as tensors, without a target. `seed` draws its augmentation, as a pure function, None in
        evaluation; `least`: positions that the head must see of it; `decoded`: what `decode` gave of it."""

    def decoding(self, augmented: bool) -> dict[str, Any] | None:
        """All that `decode` depends on beside the row, as JSON: decoded examples are kept under it. None where nothing
        has to be decoded."""
        return None

    def decode(self, row: Mapping[str, Any], augmented: bool) -> Tensor:
        """The part of `encode` that is the same in every epoch: uint8, int16 or float32, of up to three axes.

        `augmented`: whether augmentation is drawn from it, or evaluation sees it. Called where `decoding` is not None.
        """
        raise TypeError(f"{type(self).__name__} has nothing to decode")

    def on_device(self, state: State) -> State:
        """The state of a batch of encoded examples as the first stage takes it, computed where the batch is."""
        return state

    def beside(self, rows: Rows) -> Mapping[str, list[Tensor]]:
        """By name, of each row what the state needs behind the first stage beside `x` and lengths."""
        return {}

    def conditions(self, rows: Rows) -> Mapping[str, list[float | None]]:
        """By name, of each row what errors may depend on; None where it cannot be told."""
        return {}

    def mask(self, seed: int, positions: int) -> Tensor:
        """Frames that training hides of an example with so many, bool (positions,), a pure function of the seed; only
        where `masks`."""
        raise TypeError(f"{type(self).__name__} hides nothing")

    @abstractmethod
    def encoding(self) -> dict[str, Any]:
        """All that `encode` depends on beside the row and its seed, as JSON: features are cached under it."""

    def budget(self) -> int:
        """The micro-batch budget of the configuration in the unit of the lengths; where it leaves that to a GPU which
        was not measured, the most."""
        value = getattr(self.config, self.budgeted)
        return self.most() if value is None else round(value / (self.unit or 1.0))

    @property
    def by_device(self) -> bool:
        """Whether the configuration leaves the budget to the device's memory."""
        return getattr(self.config, self.budgeted) is None

    def allow(self, budget: int) -> None:
        """Takes a budget, in the unit of the lengths, into the configuration."""
        # a float only where the setting is one, as of seconds
        value: dict[str, Any] = {self.budgeted: budget * self.unit if self.unit not in (None, 1.0) else budget}
        self.config = dataclasses.replace(self.config, **value)

    @abstractmethod
    def most(self) -> int:
        """The largest budget that is worth having on any device."""

    @abstractmethod
    def bound(self, length: int, share: float = 1.0) -> str:
        """The flag, with its value, that has examples of this length be about `share` of what they are."""

    def rows_a_core(self) -> int | None:
        """Most inputs of a batch that one core of a CPU runs through frozen stages, where each core takes batches of
        its own; None where all cores work on one batch."""
        return None

    def positions(self, table: Table) -> np.ndarray:
        """Positions that a head sees of each input, int64 (n,)."""
        return np.ones(len(table), np.int64)

    def spelled(self, names: list[str]) -> list[str] | None:
        """Class names as inputs that `rows` takes; None where such inputs are no text."""
        return None

    def pieces(self, table: Table) -> tuple[Table, list[int]]:
        """Rows to predict on, and for each the row of `table` that it is from; a row that is too long has several, one
        that is too short none."""
        return table, list(range(len(table)))

    def spans(self, table: Table) -> list[tuple[float, float]] | None:
        """Of each input in which second of its recording it begins, and how many it has; None where time is nothing."""
        return None

    def exported(self) -> dict[str, Any]:
        """What `encode` does, as `interchange.write` takes it, for libraries that have a processor for it."""
        return {}

    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the configuration, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # nothing, for most
        """Takes back what `state` gave."""
