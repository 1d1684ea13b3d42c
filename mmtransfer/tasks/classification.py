"""What image and text classification share: pooled features, a head, a target (`--target`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmtransfer.backbones.carried import Carried
from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.data.labels import SEPARATOR
from mmtransfer.data.sources import Table
from mmtransfer.heads import HEADS
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Problem, Records, Task
from mmtransfer.tasks.targets import TARGETS, Target

if TYPE_CHECKING:
    from mmtransfer.metrics import Score

PROBLEMS: Mapping[str, Problem] = {"label": "classes", "labels": "labels", "value": "values"}
"""By kind of target, what it is to an exact solver."""


class Classification(Task):
    """One vector an example -> what its target says: one label, several, or a number."""

    reads = "pooled"

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.target: Target = TARGETS[config.target](config)
        self.primary, self.higher_is_better = self.target.primary, self.target.higher_is_better
        self.answer_column = self.target.kind

    def answer_columns(self) -> dict[str, Any]:
        """What `Columns` has to know of answers and groups."""
        config = self.config
        separator = config.label_separator or SEPARATOR
        return {
            "label": config.label_column,
            "group": config.group_column,
            "kind": self.target.kind,
            "separator": separator,
        }

    def strata(self, table: Table) -> list[str | None] | None:
        return self.target.strata(table)

    @staticmethod
    def exact(config: RunConfig) -> Problem | None:
        return PROBLEMS[TARGETS[config.target].kind] if config.head == "linear" else None

    def prepare(self, table: Table) -> None:
        self.target.prepare(table)

    def adopt(self, found: Carried) -> nn.Module:
        self.target.restore({"labels": found.names})
        return nn.Identity()

    def match(self, table: Table) -> Table:
        return self.target.match(table)

    def check(self, table: Table, split: str) -> Table:
        return self.target.check(table, split)

    def weights(self, table: Table) -> np.ndarray | None:
        return self.target.weights(table)

    def target_of(self, row: Mapping[str, Any]) -> Tensor | None:
        """The training target of a row, None if the row has no answer."""
        return self.target.tensor(row[self.answer_column]) if self.answer_column in row else None

    def head(self, width: int) -> nn.Module:
        return HEADS[self.config.head](width, self.target.outputs)

    def features(self, backbone: Backbone, state: State) -> State:
        return {"x": backbone.pool(state)}

    def readout(self, head: nn.Module, features: State) -> Outputs:
        logits = head(features["x"])
        return {"logits": logits.to(torch.promote_types(logits.dtype, torch.float32))}

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        return self.target.loss(outputs["logits"], targets)

    def predict(self, outputs: Outputs) -> Predictions:
        return self.target.predict(outputs["logits"].cpu())

    def answer(self, value: Any) -> Any:
        return value

    def tune(self, records: Records) -> Records:
        return self.target.tune(records)

    def metrics(self, records: Records) -> Mapping[str, Any]:
        return self.target.metrics(records)

    def measure(self, records: Records) -> dict[str, Score]:
        return self.target.measure(records)

    def present(self, record: Mapping[str, Any]) -> Prediction:
        return self.target.present(record)

    def state(self) -> dict[str, Any]:
        return self.target.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.target.restore(state)
