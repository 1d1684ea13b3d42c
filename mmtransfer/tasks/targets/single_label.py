"""One label an example: cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer.backbones.classifiers import Classifier
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.targets import temperature
from mmtransfer.tasks.targets.base import Target, linear_layers
from mmtransfer.tasks.targets.labels import PER_LABEL, Labels

if TYPE_CHECKING:
    from mmtransfer.backbones.carried import Carried
    from mmtransfer.metrics import Score

STORED_LOGITS = 1000
"""Up to so many classes all logits are stored; above, the best five, the log-sum of all."""

TINY = 1e-300
"""Added to a probability before its logarithm, which of 0 has none."""


class SingleLabel(Target):
    """One of the labels that the training data has; primary metric accuracy.

    The loss is cross-entropy; in training with `--label-smoothing` (Szegedy et al. 2016) and `--focal-gamma`.
    `--class-weights auto` weighs an example by n / (classes * examples of its class), so that every class counts the
    same and the mean weight is 1; `--sampling balanced` draws examples by such weights instead. Logits are divided by a
    temperature that validation data fit (Guo et al. 2017), up to 1,000 classes.
    """

    name = "single-label"
    kind = "label"
    problem = "classes"
    primary = "accuracy"
    labels: Labels
    temperature = 1.0
    """What logits are divided by before anything is made of them."""

    def strata(self, table: Table) -> list[str | None] | None:
        return table.column("label")

    def prepare(self, table: Table) -> None:
        self.labels = Labels(sorted(set(table.column("label"))))
        if len(self.labels) < 2:
            raise MMTransferError(
                f"All training examples have the label {self.labels.names[0]!r}",
                table.source,
                "give at least two classes",
            )

    def adopt(self, carried: Carried) -> nn.Module:
        self.labels = Labels(carried.names)
        return nn.Identity()

    def match(self, table: Table) -> Table:
        return table.answered("label", self.labels.match(table.column("label"), table.source))

    def check(self, table: Table, split: str, input: Input) -> Table:
        return self.labels.check(table, split, [(label,) for label in table.column("label")], self.config.skip_bad)

    def weights(self, table: Table) -> np.ndarray | None:
        return None if self.config.class_weights == "none" else self._balance(table)

    def shares(self, table: Table) -> np.ndarray | None:
        return None if self.config.sampling == "each" else self._balance(table) / len(table)

    def _balance(self, table: Table) -> np.ndarray:
        """The inverse of the frequency of each example's class, 1 on average."""
        numbers = np.array([self.labels.numbers[label] for label in table.column("label")])
        counts = np.bincount(numbers)
        return len(numbers) / (np.count_nonzero(counts) * counts[numbers])

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def names(self) -> list[str] | None:
        return self.labels.names

    def tensor(self, answer: str) -> Tensor:
        return torch.tensor(self.labels.numbers[answer])

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        logits = outputs["logits"]
        logits = temperature.over(logits, self.temperature)
        targets = targets.to(logits.device, non_blocking=True)
        if not logits.requires_grad:
            return F.cross_entropy(logits, targets, reduction="none")
        if not self.config.focal_gamma:
            return F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.config.label_smoothing)
        wanted = (targets if targets.is_floating_point() else self.soft(targets)).to(logits)
        wanted = torch.lerp(wanted, torch.full_like(wanted, 1 / len(self.labels)), self.config.label_smoothing)
        log_probabilities = logits.log_softmax(-1)
        unsure = (1.0 - log_probabilities.exp()) ** self.config.focal_gamma
        return -(wanted * unsure * log_probabilities).sum(-1)

    def soft(self, target: Tensor) -> Tensor:
        return F.one_hot(target, len(self.labels)).float()

    def plain(self, outputs: Outputs) -> Tensor:
        return temperature.over(outputs["logits"], self.temperature)

    def predict(self, outputs: Outputs) -> Predictions:
        logits, names = temperature.over(outputs["logits"].cpu(), self.temperature), self.labels.names
        answers = [names[number] for number in logits.argmax(-1).tolist()]
        best = logits.topk(min(5, len(names)), -1)
        columns: dict[str, list[Any]] = {"top5": [[names[n] for n in row] for row in best.indices.tolist()]}
        if len(names) <= STORED_LOGITS:
            columns["logits"] = list(logits.numpy())
        else:
            columns["logits"] = list(best.values.numpy())
            columns["log_sum"] = logits.logsumexp(-1).tolist()
        return Predictions(answers, columns)

    def calibrate(self, records: Records) -> Records:
        if "log_sum" in records or "logits" not in records:
            return records
        logits = np.stack(records["logits"]).astype(np.float64)
        true = np.array([self.labels.numbers[label] for label in records["target"]])
        found = temperature.fitted(logits * self.temperature, true)
        if found is None:
            return records
        scaled = logits * (self.temperature / found)
        losses = scipy.special.logsumexp(scaled, 1) - np.take_along_axis(scaled, true[:, None], 1)[:, 0]
        self.temperature = found
        return {**records, "logits": list(scaled.astype(np.float32)), "loss": losses.tolist()}

    def metrics(self, records: Records) -> Mapping[str, Any]:
        from mmtransfer.metrics import F1, Accuracy, Precision, Recall, TopKAccuracy, of_probabilities

        numbers, classes = self.labels.numbers, len(self.labels)
        predictions = [numbers[label] for label in records["prediction"]]
        references = [numbers[label] for label in records["target"]]
        metrics: dict[str, Any] = {
            "accuracy": Accuracy(),
            "precision": Precision(classes),
            "recall": Recall(classes),
            "f1": F1(classes),
        }
        for metric in metrics.values():
            metric.add_batch(predictions=predictions, references=references)
        if classes > 5:
            metrics["top5"] = TopKAccuracy(5)
            ranked = [[numbers[label] for label in row] for row in records["top5"]]
            metrics["top5"].add_batch(predictions=ranked, references=references)
        if "logits" in records and "log_sum" not in records:  # of more classes not all probabilities are known
            probabilities = scipy.special.softmax(np.stack(records["logits"]).astype(np.float64), 1)
            metrics |= of_probabilities(probabilities, references)
        return metrics

    def measure_each(self, metrics: Mapping[str, Any]) -> dict[str, Score]:
        return {
            f"{name}[{self.labels.names[number]}]": score
            for name in ("precision", "recall", "f1")
            for number, score in (metrics[name].per_class() if len(self.labels) <= PER_LABEL else {}).items()
        }

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The class with the largest mean of the pieces' probabilities; of many classes, where only the best five of a
        piece are stored, the others count as zero."""
        if len(records) < 2:
            return super().join(records)
        if "log_sum" in records[0]:
            return self._join_best(records)
        logits = torch.tensor(np.stack([record["logits"] for record in records])).log_softmax(-1)
        predictions = self.predict({"logits": logits.logsumexp(0)[None]})
        columns = {name: values[0] for name, values in predictions.columns.items()}
        return {"prediction": predictions.answers[0], **columns}

    def _join_best(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """One record of those that hold the best five classes: the sums of their probabilities, as logits."""
        sums: dict[str, float] = {}
        for record in records:
            shares = np.exp(np.asarray(record["logits"], np.float64) - record["log_sum"])
            for name, share in zip(record["top5"], shares.tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + share
        best = sorted(sums, key=lambda name: (-sums[name], self.labels.numbers[name]))[: len(records[0]["top5"])]
        logits = np.log(np.array([sums[name] for name in best]) + TINY).astype(np.float32)
        return {"prediction": best[0], "top5": best, "logits": logits, "log_sum": float(np.log(len(records)))}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        logits = np.asarray(record["logits"], dtype=np.float64)
        names = self.labels.names if "log_sum" not in record else record["top5"]
        log_sum = record.get("log_sum", float(np.logaddexp.reduce(logits)))
        scores = dict(zip(names, np.exp(logits - log_sum).tolist(), strict=True))
        label = record["prediction"]
        return Prediction(record["id"], label, scores[label], scores, labels=(label,))

    def exported(self, head: nn.Module) -> dict[str, Any]:
        layers = temperature.divided(linear_layers(head), self.temperature)
        return {"head": Classifier(layers, self.labels.names, "single_label_classification")}

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels.names, "temperature": self.temperature}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.labels, self.temperature = Labels.restored(state), temperature.restored(state)
