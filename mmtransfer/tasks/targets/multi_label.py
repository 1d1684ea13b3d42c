"""Any number of labels an example, none among them: binary cross-entropy, one threshold, F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer import documents
from mmtransfer.backbones.classifiers import Classifier
from mmtransfer.config import RunConfig
from mmtransfer.data.labels import SEPARATOR
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.targets import temperature
from mmtransfer.tasks.targets.base import Target, linear_layers
from mmtransfer.tasks.targets.labels import PER_LABEL, Labels

if TYPE_CHECKING:
    from mmtransfer.metrics import Score


class MultiLabel(Target):
    """The labels of an example, of those that the training data has; primary metric micro F1.

    A label is given where its probability is above one threshold for all labels: the one with the best micro F1 on the
    validation data, 0.5 until it is chosen. It is chosen for every epoch anew, since at 0.5 an early epoch may give no
    label at all; so the validation score is that of the best threshold, and only the test score is out of sample.
    Logits are divided by a temperature that validation data fit, one for all labels (Guo et al. 2017); the threshold
    goes with them.
    """

    name = "multi-label"
    kind = "labels"
    problem = "labels"
    primary = "f1_micro"
    labels: Labels

    def __init__(self, config: RunConfig, source: str = "") -> None:
        super().__init__(config, source)
        self.separator = config.label_separator or SEPARATOR
        self.cut = 0.0
        """The threshold as a logit: probabilities near 1 cannot be told apart, their logits can."""
        self.temperature = 1.0
        """What logits are divided by before anything is made of them."""

    def columns(self) -> dict[str, Any]:
        return {"label": self.config.label_column, "separator": self.separator}

    def strata(self, table: Table) -> list[str | None] | None:
        """All of one class, but for an example of each label, the rarest first, that stays in training."""
        rows = table.column("labels")
        counts = Counter(label for row in rows for label in row)
        holders: dict[str, int] = {}
        for place, row in reversed(list(enumerate(rows))):
            holders |= dict.fromkeys(row, place)
        kept: set[int] = set()
        covered: set[str] = set()
        for label in sorted(counts, key=lambda label: (counts[label], label)):
            if label not in covered:
                kept.add(holders[label])
                covered.update(rows[holders[label]])
        if len(rows) - len(kept) < 2:
            raise MMTransferError(
                f"{len(kept)} of {len(rows)} examples are needed to keep every label in training",
                "the training data",
                "add examples, or take all of them and give --validation DATA of its own",
            )
        return [None if place in kept else "any" for place in range(len(rows))]

    def prepare(self, table: Table) -> None:
        rows = table.column("labels")
        self.labels = Labels(sorted({label for row in rows for label in row}))
        if not len(self.labels):
            raise MMTransferError("No training example has a label", table.source, "check --label-column")
        if all(len(row) < 2 for row in rows):
            self._refuse_other_separators(table.source)

    def _refuse_other_separators(self, source: str) -> None:
        """Raises MMTransferError if labels that never stand together look as if another separator joined them.

        A space is one only where splitting at it gives no more names than before: 'red apple' may be one label.
        """
        names = self.labels.names
        for character in "|,; ":
            joined = [name for name in names if character in name]
            parts = {part.strip() for name in names for part in name.split(character)} - {""}
            if joined and (character != " " or len(parts) <= len(names)):
                raise MMTransferError(
                    f"Unknown separator: {self.separator!r} never parts two labels, but {len(joined)} label(s) hold "
                    f"{character!r}, such as {joined[0]!r}",
                    f"--label-separator of {source}",
                    f"give --label-separator {character!r}, or --target single-label if each is one label",
                )

    def check(self, table: Table, split: str, input: Input) -> Table:
        return self.labels.check(table, split, table.column("labels"), self.config.skip_bad)

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def names(self) -> list[str] | None:
        return self.labels.names

    def tensor(self, answer: Sequence[str]) -> Tensor:
        target = torch.zeros(len(self.labels))
        target[[self.labels.numbers[label] for label in answer]] = 1.0
        return target

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Each example's mean over the labels of their binary cross-entropies.

        Every example has as many labels to decide, so the sum of these means over a step's examples is the sum of all
        decisions over examples x labels: the mean that torch gives for the step in one piece.
        """
        logits = temperature.over(outputs["logits"], self.temperature)
        truths, gamma = targets.to(logits, non_blocking=True), self.config.focal_gamma if logits.requires_grad else 0.0
        each = F.binary_cross_entropy_with_logits(logits, truths, reduction="none")
        if gamma:
            each = each * (truths - logits.sigmoid()).abs() ** gamma
        return each.mean(-1)

    def plain(self, outputs: Outputs) -> Tensor:
        return temperature.over(outputs["logits"], self.temperature)

    def predict(self, outputs: Outputs) -> Predictions:
        rows = list(temperature.over(outputs["logits"].cpu(), self.temperature).numpy())
        return Predictions(self._answers(rows), {"logits": rows})

    def _answers(self, logits: Sequence[np.ndarray]) -> list[list[str]]:
        names = self.labels.names
        return [[names[n] for n in np.flatnonzero(np.asarray(row, np.float64) > self.cut)] for row in logits]

    def tune(self, records: Records) -> Records:
        self.cut = best_cut(np.stack(records["logits"]), self._indicators(records["target"]))
        return {**records, "prediction": self._answers(records["logits"])}

    def calibrate(self, records: Records) -> Records:
        logits, true = np.stack(records["logits"]).astype(np.float64), self._indicators(records["target"])
        found = temperature.fitted(logits * self.temperature, true)
        if found is None:
            return records
        scaled = logits * (self.temperature / found)
        self.cut *= self.temperature / found
        self.temperature = found
        losses = -scipy.special.log_expit(np.where(true, scaled, -scaled)).mean(1)
        return {**records, "logits": list(scaled.astype(np.float32)), "loss": losses.tolist()}

    def _indicators(self, answers: Sequence[Sequence[str]]) -> np.ndarray:
        """bool (n, labels)"""
        found = np.zeros((len(answers), len(self.labels)), bool)
        for row, own in zip(found, answers, strict=True):
            row[[self.labels.numbers[label] for label in own]] = True
        return found

    def metrics(self, records: Records) -> Mapping[str, Any]:
        from mmtransfer.metrics import MultiLabelF1, SubsetAccuracy, of_probabilities

        metrics: dict[str, Any] = {
            "f1": MultiLabelF1(len(self.labels)),
            "subset_accuracy": SubsetAccuracy(len(self.labels)),
        }
        predictions, references = (self._indicators(records[name]) for name in ("prediction", "target"))
        for metric in metrics.values():
            metric.add_batch(predictions=predictions, references=references)
        if "logits" in records:
            probabilities = scipy.special.expit(np.stack(records["logits"]).astype(np.float64))
            metrics |= of_probabilities(probabilities, references)
        return metrics

    def measure_each(self, metrics: Mapping[str, Any]) -> dict[str, Score]:
        if len(self.labels) > PER_LABEL:
            return {}
        each = metrics["f1"].per_label()
        return {f"f1[{name}]": score for name, score in zip(self.labels.names, each, strict=True)}

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The labels by the pieces' mean logits."""
        if len(records) < 2:
            return super().join(records)
        logits = np.mean([record["logits"] for record in records], 0)
        return {"prediction": self._answers([logits])[0], "logits": logits}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        logits, given = np.asarray(record["logits"], np.float64), self._indicators([record["prediction"]])[0]
        exactly = float(np.exp(scipy.special.log_expit(np.where(given, logits, -logits)).sum()))
        scores = dict(zip(self.labels.names, scipy.special.expit(logits).tolist(), strict=True))
        own = tuple(record["prediction"])
        return Prediction(record["id"], self.separator.join(own), exactly, scores, labels=own)

    def exported(self, head: nn.Module) -> dict[str, Any]:
        layers = temperature.divided(linear_layers(head), self.temperature)
        return {"head": Classifier(layers, self.labels.names, "multi_label_classification")}

    def state(self) -> dict[str, Any]:
        threshold = float(scipy.special.expit(self.cut))
        return {
            "labels": self.labels.names,
            "cut": self.cut,
            "threshold": threshold,
            "temperature": self.temperature,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        documents.check(state, {"cut": float})
        self.labels, self.cut = Labels.restored(state), float(state["cut"])
        self.temperature = temperature.restored(state)


def best_cut(logits: np.ndarray, truth: np.ndarray) -> float:
    """The cut with the best micro F1 of `logits > cut`; of equally good ones the nearest to 0, 0 if nothing is true.

    `logits`: (n, labels); `truth`: bool (n, labels). Every cut that gives another answer is tried, each in the middle
    between two logits, so that rounding changes no answer.
    """
    order = np.argsort(-logits, axis=None, kind="stable")
    values, hits = logits.ravel()[order].astype(np.float64), truth.ravel()[order].cumsum()
    if not hits[-1]:
        return 0.0
    below = np.append(values[1:], values[-1] - 1.0)
    f1 = np.where(values > below, 2 * hits / (np.arange(1, len(values) + 1) + hits[-1]), 0.0)
    middles = ((values + below) / 2)[f1 >= f1.max() - 1e-12]
    return float(middles[np.abs(middles).argmin()])
