"""What image and text classification share: labels, loss, predictions, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.data.sources import Table
from mmtransfer.errors import MMTransferError, nearest
from mmtransfer.heads import LinearHead
from mmtransfer.metrics import F1, Accuracy, Precision, Recall, TopKAccuracy
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records, Task

STORED_LOGITS = 1000
"""Up to so many classes all logits are stored; above, the best five, the log-sum of all."""
PER_CLASS = 20
"""Up to so many classes precision, recall and F1 of each stand in result.json."""


class Classification(Task):
    """One label an example, of those that the training data has."""

    primary = "accuracy"
    higher_is_better = True
    answer_column = "label"
    labels: list[str]

    def prepare(self, table: Table) -> None:
        self._set_labels(sorted(set(table.column("label"))))
        if len(self.labels) < 2:
            raise MMTransferError(
                f"All training examples have the label {self.labels[0]!r}", table.source, "give at least two classes"
            )

    def _set_labels(self, labels: list[str]) -> None:
        self.labels = labels
        self.numbers = {label: number for number, label in enumerate(labels)}

    def check(self, table: Table, split: str) -> Table:
        labels = table.column("label")
        unseen = sorted({label for label in labels if label not in self.numbers})
        if not unseen:
            return table
        if not self.config.skip_bad:
            first = unseen[0]
            close = ", ".join(nearest(first, self.labels))
            raise MMTransferError(
                f"{len(unseen)} label(s) unseen in training: {', '.join(map(repr, unseen[:10]))}",
                f"{table.source} (--{split}), first in row {table.column('id')[labels.index(first)]}",
                f"correct them (closest to {first!r}: {close}), or leave those rows out with --skip-bad",
            )
        good = [place for place, label in enumerate(labels) if label in self.numbers]
        bad = [place for place, label in enumerate(labels) if label not in self.numbers]
        return table.without(bad, [f"label {labels[place]!r} unseen in training" for place in bad]) if good else table

    def target(self, row: Mapping[str, Any]) -> Tensor | None:
        """The class number of a row, None if the row has no label."""
        return torch.tensor(self.numbers[row["label"]]) if "label" in row else None

    def head(self, width: int) -> nn.Module:
        return LinearHead(width, len(self.labels))

    def readout(self, backbone: Backbone, head: nn.Module, state: State) -> Outputs:
        logits = head(backbone.pool(state))
        return {"logits": logits.to(torch.promote_types(logits.dtype, torch.float32))}

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        smoothing = float(self.config.label_smoothing or 0.0) if outputs["logits"].requires_grad else 0.0
        return F.cross_entropy(outputs["logits"], targets, reduction="none", label_smoothing=smoothing)

    def predict(self, outputs: Outputs) -> Predictions:
        logits = outputs["logits"].cpu()
        answers = [self.labels[number] for number in logits.argmax(-1).tolist()]
        best = logits.topk(min(5, len(self.labels)), -1)
        columns: dict[str, list[Any]] = {"top5": [[self.labels[n] for n in row] for row in best.indices.tolist()]}
        if len(self.labels) <= STORED_LOGITS:
            columns["logits"] = list(logits.numpy())
        else:
            columns["logits"] = list(best.values.numpy())
            columns["log_sum"] = logits.logsumexp(-1).tolist()
        return Predictions(answers, columns)

    def answer(self, value: str) -> str:
        return value

    def metrics(self, records: Records) -> Mapping[str, Any]:
        predictions = [self.numbers[label] for label in records["prediction"]]
        references = [self.numbers[label] for label in records["target"]]
        metrics: dict[str, Any] = {
            "accuracy": Accuracy(),
            "precision": Precision(len(self.labels)),
            "recall": Recall(len(self.labels)),
            "f1": F1(len(self.labels)),
        }
        for metric in metrics.values():
            metric.add_batch(predictions=predictions, references=references)
        if len(self.labels) > 5:
            metrics["top5"] = TopKAccuracy(5)
            ranked = [[self.numbers[label] for label in row] for row in records["top5"]]
            metrics["top5"].add_batch(predictions=ranked, references=references)
        return metrics

    def measure(self, records: Records) -> dict[str, Any]:
        metrics = self.metrics(records)
        scores: dict[str, Any] = {}
        for metric in metrics.values():
            scores |= metric.scores()
        if len(self.labels) <= PER_CLASS:
            for name in ("precision", "recall", "f1"):
                for number, score in metrics[name].per_class().items():
                    scores[f"{name}[{self.labels[number]}]"] = score
        return scores

    def present(self, record: Mapping[str, Any]) -> Prediction:
        logits = np.asarray(record["logits"], dtype=np.float64)
        names = self.labels if "log_sum" not in record else record["top5"]
        log_sum = record.get("log_sum", float(np.logaddexp.reduce(logits)))
        scores = dict(zip(names, np.exp(logits - log_sum).tolist(), strict=True))
        return Prediction(record["id"], record["prediction"], scores[record["prediction"]], scores)

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._set_labels(list(state["labels"]))
