"""A real number an example: squared error on standardised targets, R2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import documents
from mmtransfer.backbones.classifiers import Classifier
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.targets.base import Target, linear_layers


class Regression(Target):
    """A number in the units of the data; primary metric R2.

    The head learns (number - mean) / sd, both of the training data, so that one learning rate serves all units; the
    loss is the squared error in those units. Predictions and metrics are in the data's own.
    """

    name = "regression"
    kind = "value"
    problem = "values"
    primary = "r2"
    mean: float
    sd: float

    def prepare(self, table: Table) -> None:
        values = np.array(table.column("value"))
        self.mean, self.sd = float(values.mean()), float(values.std())
        if not self.sd > 1e-12 * max(1.0, abs(self.mean)):
            raise MMTransferError(
                f"All training examples have the target {values[0]:g}", table.source, "give targets that differ"
            )

    @property
    def outputs(self) -> int:
        return 1

    def tensor(self, answer: float) -> Tensor:
        return torch.tensor((answer - self.mean) / self.sd, dtype=torch.float32)

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        logits = outputs["logits"]
        return F.mse_loss(logits.squeeze(-1), targets.to(logits, non_blocking=True), reduction="none")

    def plain(self, outputs: Outputs) -> Tensor:
        return outputs["logits"] * self.sd + self.mean

    def predict(self, outputs: Outputs) -> Predictions:
        logits = outputs["logits"].cpu()
        return Predictions((logits.squeeze(-1).double() * self.sd + self.mean).tolist(), {})

    def metrics(self, records: Records) -> Mapping[str, Any]:
        from mmtransfer.metrics import MAE, MSE, R2, RMSE

        metrics = {"r2": R2(), "mse": MSE(), "rmse": RMSE(), "mae": MAE()}
        for metric in metrics.values():
            metric.add_batch(predictions=records["prediction"], references=records["target"])
        return metrics

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The mean of the pieces' numbers."""
        return {**super().join(records), "prediction": float(np.mean([record["prediction"] for record in records]))}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        value = float(record["prediction"])
        return Prediction(record["id"], f"{value:.7g}", None, {}, value=value)

    def exported(self, head: nn.Module) -> dict[str, Any]:
        layers = linear_layers(head)
        weight, bias = layers[-1]  # it learns numbers with mean 0 and deviation 1
        layers[-1] = (weight * self.sd, bias * self.sd + self.mean)
        return {"head": Classifier(layers, ["value"], "regression")}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "sd": self.sd}

    def restore(self, state: Mapping[str, Any]) -> None:
        documents.check(state, {"mean": float, "sd": float})
        self.mean, self.sd = float(state["mean"]), float(state["sd"])
