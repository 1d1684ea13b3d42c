"""What a target is: the answer column as tensors, a loss on a head's outputs, predictions, metrics.

A target knows neither pixels nor tokens: image and text classification own one each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from mmtransfer.config import RunConfig
from mmtransfer.data.labels import Kind
from mmtransfer.data.sources import Table
from mmtransfer.tasks.base import Prediction, Predictions, Records

if TYPE_CHECKING:
    from mmtransfer.metrics import Score


class Target(ABC):
    """The protocol of a target; what is not told here is as in `Task`.

    `name`: on the command line; `kind`: its column of the table; `primary`: the metric that picks the best epoch,
    `higher_is_better` its direction.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    primary: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def strata(self, table: Table) -> list[str | None] | None:
        """A class of each example to split by, as `Task.strata`."""
        return None

    @abstractmethod
    def prepare(self, table: Table) -> None:
        """Fixes labels or scale from the training table; raises MMTransferError where there is nothing to learn."""

    def match(self, table: Table) -> Table:
        """As `Task.match`."""
        return table

    def check(self, table: Table, split: str) -> Table:
        """The table without examples that cannot be used; raises MMTransferError for those, unless --skip-bad."""
        return table

    def weights(self, table: Table) -> np.ndarray | None:
        """Weights of the training examples, float64 (n,), with a mean of 1; None: all 1."""
        return None

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that a head gives for an example."""

    def names(self) -> list[str] | None:
        """The names of the outputs; None where outputs have none."""
        return None

    @abstractmethod
    def tensor(self, answer: Any) -> Tensor:
        """An answer of the table's column as a training target."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Each example's loss (batch,) of `logits` (batch, outputs), at least float32."""

    @abstractmethod
    def predict(self, logits: Tensor) -> Predictions:
        """Answers, as records hold them, and what is stored with them."""

    def tune(self, records: Records) -> Records:
        """As `Task.tune`."""
        return records

    @abstractmethod
    def metrics(self, records: Records) -> Mapping[str, Any]:
        """By name, `evaluate.Metric` objects after they have seen the records."""

    def measure(self, records: Records) -> dict[str, Score]:
        """All scores, with intervals."""
        scores: dict[str, Score] = {}
        for metric in self.metrics(records).values():
            scores |= metric.scores()
        return scores

    @abstractmethod
    def present(self, record: Mapping[str, Any]) -> Prediction:
        """One record as the user sees it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the configuration, as JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""
