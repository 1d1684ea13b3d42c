"""What a task is: from an example to tensors, from outputs to a loss, to predictions, to metrics.

A task knows nothing of strategies or of the engine. A new one is one file with a subclass of `Task` and a line in
`mmtransfer/tasks/__init__.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from mmtransfer.backbones import interchange
from mmtransfer.backbones.carried import Carried
from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.data.sources import Columns, Modality, Table
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from mmtransfer.metrics import Score

Problem = Literal["classes", "labels", "values"]
"""Targets of one class each (batch,), of any number of labels (batch, labels) in 0 and 1, of real numbers."""

Outputs = dict[str, Tensor]
"""What a head gives: `logits` (batch, classes), or `log_probs` (batch, frames, symbols) and `lengths` (batch,)."""


@dataclass(frozen=True)
class Encoded:
    """One example as tensors.

    `x`: pixels (3, height, width), token ids (tokens,) or samples (samples,); `length`: its tokens or samples, None for
    fixed sizes; `target`: class number, symbol numbers (labels,), 0 or 1 for every label (labels,), or a real number;
    None where unknown; `seed`: number behind the example's random masking, None in evaluation; `types` (tokens,): which
    text of a pair a token belongs to, None where there are no pairs.
    """

    x: Tensor
    length: int | None = None
    target: Tensor | None = None
    seed: int | None = None
    types: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Encoded examples side by side; `targets` (batch,) or (batch, labels), ragged ones padded with -100, None where
    unknown."""

    state: State
    targets: Tensor | None

    def to(self, device: torch.device) -> Batch:
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        return Batch({name: value.to(device, non_blocking=True) for name, value in self.state.items()}, targets)


def collate(examples: Sequence[Encoded]) -> Batch:
    """Stacks examples; ragged ones are padded with zeros, and their lengths go into the state."""
    state: State = {}
    if examples[0].length is None:
        state["x"] = torch.stack([example.x for example in examples])
    else:
        state["x"] = nn.utils.rnn.pad_sequence([example.x for example in examples], batch_first=True)
        state["lengths"] = torch.tensor([example.length for example in examples])
    if examples[0].types is not None:
        types = [example.types for example in examples if example.types is not None]
        state["types"] = nn.utils.rnn.pad_sequence(types, batch_first=True)
    if examples[0].seed is not None:
        state["seeds"] = torch.tensor([example.seed for example in examples])
    if examples[0].target is None:
        return Batch(state, None)
    return Batch(state, collate_targets([example.target for example in examples if example.target is not None]))


def collate_targets(targets: Sequence[Tensor]) -> Tensor:
    """Stacks targets, (batch,); those with an axis of their own are padded with -100, (batch, labels)."""
    if targets[0].dim() == 0:
        return torch.stack(list(targets))
    return nn.utils.rnn.pad_sequence(list(targets), batch_first=True, padding_value=-100)


@dataclass(frozen=True)
class Predictions:
    """What a batch of outputs says. `answers`: for each example a label, a text, a list of labels or a number;
    `columns`: all that is stored of them beside ids, one value an example (`logits`, scores, lengths)."""

    answers: list[Any]
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Prediction:
    """An answer for one input.

    `id`: name or number of the input; `label`: the class, the text that was heard, the labels with the separator
    between them, or the number as text; `score`: its probability, 0 to 1 (speech: the mean over frames of the best
    symbol's; several labels: that of exactly these, taken as independent), None for a number; `scores`: probability of
    every class or label, empty for speech and numbers; `labels`: the one or several, in order of the alphabet, empty
    for speech and numbers; `value`: the number in the units of the data, None for all else.
    """

    id: str
    label: str
    score: float | None
    scores: Mapping[str, float]
    labels: tuple[str, ...] = ()
    value: float | None = None


Records = Mapping[str, list[Any]]
"""Columns over examples: id, prediction, target and loss where targets are known, and the task's own."""


class Task(ABC):
    """The protocol of a task.

    `primary`: the metric that picks the best epoch, `higher_is_better` its direction; `answer_column`: the column of
    the table with what is to be predicted; `unit`: what one unit of length is worth in result.json's throughput
    (tokens: 1, samples: seconds; None for fixed sizes); `seeded`: whether `encode` puts its seed into the state, for
    random masking; `reads`: what a head reads of the last stage, `pooled` vectors or `frames`.
    """

    name: ClassVar[str]
    modality: ClassVar[Modality]
    primary: str
    higher_is_better: bool
    answer_column: str
    unit: float | None = 1.0
    seeded: ClassVar[bool] = False
    reads: ClassVar[str]

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
        """`self.config` is `config` with what it leaves to the backbone filled in."""
        self.config = config

    @abstractmethod
    def columns(self) -> Columns:
        """The columns of the data that the configuration names, and what they hold."""

    def strata(self, table: Table) -> list[str | None] | None:
        """A class of each example, of which validation data cut from the table gets its share, and so do `--shots` and
        `--fraction`; None for an example that has to stay in training. None instead of the list (the default): any
        examples will do."""
        return None

    @staticmethod
    def exact(config: RunConfig) -> Problem | None:
        """What the targets are to a solver that finds a linear head exactly; None where there is no such solver."""
        return None

    @property
    def augments(self) -> bool:
        """Whether what `encode` gives in training depends on its seed."""
        return False

    @abstractmethod
    def prepare(self, table: Table) -> None:
        """Fixes labels or vocabulary, from the training table only."""

    @abstractmethod
    def check(self, table: Table, split: str) -> Table:
        """The table without examples that cannot be used; raises MMTransferError for those, unless --skip-bad."""

    def weights(self, table: Table) -> np.ndarray | None:
        """The weight of each training example in the loss of its step, float64 (n,), positive; None (the default): all
        weigh the same."""
        return None

    def adopt(self, found: Carried) -> nn.Module:
        """Takes over labels or symbols of a checkpoint, instead of `prepare`; returns the head that belongs to them."""
        raise MMTransferError(f"{self.name} has no use for the head of a checkpoint", found.backbone.name, "train one")

    def match(self, table: Table) -> Table:
        """The table with its answers as a checkpoint's labels spell them; MMTransferError for what it does not have."""
        return table

    @abstractmethod
    def rows(self, table: Table) -> tuple[datasets.Dataset, np.ndarray]:
        """Rows ready for `encode`, and each one's length in tokens or samples (int32; ones for fixed sizes)."""

    @abstractmethod
    def encode(self, row: Mapping[str, Any], seed: int | None) -> Encoded:
        """An example as tensors. `seed` draws its augmentation, as a pure function; None in evaluation."""

    @abstractmethod
    def target_of(self, row: Mapping[str, Any]) -> Tensor | None:
        """The training target of a row, from its answer alone; None if the row has none."""

    @abstractmethod
    def encoding(self) -> dict[str, Any]:
        """All that `encode` depends on beside the row and its seed, as JSON: features are cached under it."""

    def class_names(self) -> list[str] | None:
        """The classes' names as inputs that `rows` takes; None where inputs are no text."""
        return None

    @abstractmethod
    def budget(self) -> int:
        """The micro-batch budget of the configuration, in the unit of the lengths."""

    def rows_a_core(self) -> int | None:
        """Most inputs of a batch that one core of a CPU runs through frozen stages, where each core takes batches of
        its own; None where all cores work on one batch."""
        return None

    @abstractmethod
    def head(self, width: int) -> nn.Module:
        """A new head on features of this width."""

    @abstractmethod
    def features(self, backbone: Backbone, state: State) -> State:
        """What the head sees of the last stage's state: pooled features, or frames with their lengths."""

    @abstractmethod
    def readout(self, head: nn.Module, features: State) -> Outputs:
        """The head on `features`."""

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Each example's loss, float32 (batch,); the engine weighs them, sums a step's and divides by its weight."""

    @abstractmethod
    def predict(self, outputs: Outputs) -> Predictions:
        """Answers and what is stored with them."""

    @abstractmethod
    def answer(self, value: Any) -> Any:
        """A true answer of the table, as `predict` would give it."""

    def tune(self, records: Records) -> Records:
        """Chooses from validation records what training does not (a threshold); gives the records under the choice.

        Called on the validation records of every epoch, before they are measured, and of the model that is kept.
        """
        return records

    @abstractmethod
    def metrics(self, records: Records) -> Mapping[str, Any]:
        """By name, the task's `evaluate.Metric` objects after they have seen the records."""

    def measure(self, records: Records) -> dict[str, Score]:
        """All scores, with intervals."""
        scores: dict[str, Score] = {}
        for metric in self.metrics(records).values():
            scores |= metric.scores()
        return scores

    def alarm(self, records: Records) -> str | None:
        """What is wrong with a model that gives these validation records, and what to do; None if nothing."""
        return None

    def annotate(self, records: Records) -> Records:
        """The records with the columns that are stored but not needed for the scores."""
        return records

    def pieces(self, table: Table) -> tuple[Table, list[int]]:
        """Rows to predict on, and for each the row of `table` that it is from; a row that is too long has several, one
        that is too short none."""
        return table, list(range(len(table)))

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """One record of those of an input's pieces, in their order."""
        return records[0]

    @abstractmethod
    def present(self, record: Mapping[str, Any]) -> Prediction:
        """One record as the user sees it."""

    def export(self, folder: Path, backbone: Backbone, head: nn.Module) -> None:
        """Writes what other libraries need to read the model in `folder`, where the backbone has been saved."""
        interchange.write(backbone, folder)

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the configuration, as JSON: labels or vocabulary, and what was tuned."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""
