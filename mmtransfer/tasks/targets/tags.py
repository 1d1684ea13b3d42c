"""One tag a word: names in a text, parts of speech."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtransfer.backbones.classifiers import Tagger
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.iob2 import check_iob2, is_iob2
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.refusal import leave_out
from mmtransfer.tasks.targets.base import Target, linear_layers
from mmtransfer.tasks.targets.labels import PER_LABEL, Labels

if TYPE_CHECKING:
    from mmtransfer.metrics import Score

logger = logging.getLogger("mmtransfer")
OUTSIDE = "O"


class Tags(Target):
    """The tags of a list of words.

    Where the training data's tags are IOB2 (B-TYPE begins a span, I-TYPE goes on with it, O is outside), entities are
    scored by their spans, primary metric F1 of all, and only sequences of tags that are IOB2 are predicted. Else tags
    are plain, primary metric their accuracy. The loss of a row is the mean cross-entropy of its words, and a row weighs
    as much as it has words: so a step's loss is the mean over its words.
    """

    name = "tags"
    kind = "tags"
    reads = "tokens"
    labels: Labels

    @property
    def spans(self) -> bool:
        """Whether the tags are IOB2."""
        return is_iob2(self.labels.names)

    @property
    def primary(self) -> str:  # type: ignore[override]  # known only with the data
        return "entity_f1" if self.spans else "tag_accuracy"

    def columns(self) -> dict[str, Any]:
        return {"tags": self.config.tags_column}

    def prepare(self, table: Table) -> None:
        names = {tag for tags in table.column("tags") for tag in tags}
        if is_iob2(names):  # few examples may have a type without spans of two words
            names |= {f"I{name[1:]}" for name in names if name.startswith("B")}
        self.labels = Labels(sorted(names))
        if len(self.labels) < 2:
            raise MMTransferError(
                f"All training words have the tag {self.labels.names[0]!r}", table.source, "give at least two tags"
            )
        logger.info("%d tags: %s", len(self.labels), "IOB2 spans" if self.spans else "plain, one a word")

    def check(self, table: Table, split: str, input: Input) -> Table:
        rows = table.column("tags")
        reasons = {number: check_iob2(tags) for number, tags in enumerate(rows)} if self.spans else {}
        bad = {number: reason for number, reason in reasons.items() if reason is not None}
        table = leave_out(table, split, bad, self.config.skip_bad, "row(s) whose tags are not IOB2")
        return self.labels.check(table, split, table.column("tags"), self.config.skip_bad)

    def weights(self, table: Table) -> np.ndarray:
        words = np.array([len(tags) for tags in table.column("tags")], np.float64)
        return np.asarray(words / words.mean())

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def names(self) -> list[str] | None:
        return self.labels.names

    def readout(self, head: nn.Module, features: Mapping[str, Tensor]) -> Outputs:
        return {**super().readout(head, features), "lengths": features["lengths"]}

    def tensor(self, answer: list[str]) -> Tensor:
        return torch.tensor([self.labels.numbers[tag] for tag in answer])

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        # a row a word: over maps of words CUDA has no form that gives the same bits each time
        logits = outputs["logits"]
        targets = F.pad(targets, (0, logits.shape[1] - targets.shape[1]), value=-100)
        answers = targets.to(logits.device, non_blocking=True).flatten()
        losses = F.cross_entropy(logits.flatten(0, 1), answers, reduction="none", ignore_index=-100)
        losses = losses.view_as(targets)
        return losses.sum(-1) / outputs["lengths"].clamp(min=1)

    def predict(self, outputs: Outputs) -> Predictions:
        """The best tags; the confidence of a row is the mean over its words of their tag's probability, and
        `confidences` those of each word."""
        scores, lengths = outputs["logits"].cpu().log_softmax(-1), outputs["lengths"].tolist()
        padding = torch.arange(scores.shape[1]) >= outputs["lengths"].cpu()[:, None]
        scores = scores.masked_fill(padding[..., None], 0.0)  # behind a sentence any tag is as good as any
        numbers = best_sequences(scores, self._allowed()) if self.spans else scores.argmax(-1)
        chosen = scores.gather(-1, numbers[..., None])[..., 0].exp()
        names = self.labels.names
        rows = zip(numbers.tolist(), lengths, strict=True)
        answers = [[names[number] for number in row[:length]] for row, length in rows]
        each = [row[:length] for row, length in zip(chosen, lengths, strict=True)]
        columns = {"confidence": [float(row.mean()) for row in each], "confidences": [row.tolist() for row in each]}
        return Predictions(answers, columns)

    def _allowed(self) -> Tensor:
        """bool (tags + 1, tags): whether a tag may follow another; the last row is the beginning of a sentence."""
        names = self.labels.names
        allowed = torch.ones(len(names) + 1, len(names), dtype=torch.bool)
        for number, name in enumerate(names):
            if name.startswith("I"):
                kind = name[1:]
                allowed[:, number] = torch.tensor([other in (f"B{kind}", f"I{kind}") for other in (*names, OUTSIDE)])
        return allowed

    def metrics(self, records: Records) -> Mapping[str, Any]:
        from mmtransfer.metrics.spans import EntityF1, TagAccuracy, TagF1

        metrics: dict[str, Any] = {"entities": EntityF1()} if self.spans else {}
        metrics |= {"accuracy": TagAccuracy()} | ({} if self.spans else {"f1": TagF1()})
        for metric in metrics.values():
            metric.add_batch(predictions=records["prediction"], references=records["target"])
        return metrics

    def measure_each(self, metrics: Mapping[str, Any]) -> dict[str, Score]:
        name, metric = ("entity_f1", "entities") if self.spans else ("tag_f1", "f1")
        each = metrics[metric].per_type()
        return {f"{name}[{kind}]": score for kind, score in each.items()} if len(each) <= PER_LABEL else {}

    def present(self, record: Mapping[str, Any]) -> Prediction:
        tags = tuple(record["prediction"])
        return Prediction(record["id"], " ".join(tags), record["confidence"], {}, labels=tags)

    def exported(self, head: nn.Module) -> dict[str, Any]:
        return {"head": Tagger(linear_layers(head), self.labels.names)}

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels.names}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.labels = Labels.restored(state)


def best_sequences(scores: Tensor, allowed: Tensor) -> Tensor:
    """The sequences of tags with the largest sum of scores in which each tag may follow the one before it (Viterbi).

    `scores`: (batch, words, tags); `allowed`: bool (tags + 1, tags), the last row for the first word. Returns the
    numbers of tags, (batch, words). Words behind a sentence change nothing in it if they score all tags alike and one
    tag, such as O, may follow any.
    """
    barred = torch.where(allowed, 0.0, -torch.inf).to(scores)
    total, steps = scores[:, 0] + barred[-1], []
    for word in range(1, scores.shape[1]):
        best, before = (total[:, :, None] + barred[:-1]).max(1)
        steps.append(before)
        total = best + scores[:, word]
    path = [total.argmax(-1)]
    for before in reversed(steps):
        path.append(before.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1)
