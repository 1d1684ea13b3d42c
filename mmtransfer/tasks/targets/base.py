"""What a target is: a column of answers as tensors, a head, a loss on its outputs, predictions, metrics.

A target knows neither pixels nor tokens nor samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mmtransfer.config import RunConfig
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.heads import HEADS
from mmtransfer.tasks.base import Outputs, Prediction, Predictions, Problem, Reads, Records
from mmtransfer.tasks.inputs.base import Input

if TYPE_CHECKING:
    from mmtransfer.backbones.carried import Carried
    from mmtransfer.metrics import Score


class Target(ABC):
    """The protocol of a target."""

    name: ClassVar[str]
    """On the command line."""
    kind: ClassVar[str]
    """The kind of its column, of `data.kinds.ANSWERS`."""
    reads: ClassVar[Reads] = "pooled"
    """What its head sees."""
    problem: ClassVar[Problem | None] = None
    """What it is to a solver that finds a linear head exactly; None where there is no such solver."""
    primary: str
    """The metric that picks the best epoch."""
    higher_is_better: ClassVar[bool] = True
    """Its direction."""
    timed: ClassVar[bool] = False
    """Whether it can say when what it predicts was said."""
    explained: ClassVar[bool] = False
    """Whether `errors` asks for the conditions of the inputs."""
    extra: tuple[str, ...] = ()
    """Columns of the table that records take along."""

    def __init__(self, config: RunConfig, source: str = "") -> None:
        """`source`: where the backbone's weights come from."""
        self.config, self.source = config, source
        self.wants_times = False
        """Whether predictions are to say when, which costs some time."""

    def columns(self) -> dict[str, Any]:
        """The columns that the configuration names, as `Columns` takes them."""
        return {"label": self.config.label_column}

    def strata(self, table: Table) -> list[str | None] | None:
        """A class of each example, of which validation data cut from the table gets its share, and so do `--shots` and
        `--fraction`; None for an example that has to stay in training. None instead of the list (the default): any
        examples will do."""
        return None

    @abstractmethod
    def prepare(self, table: Table) -> None:
        """Fixes labels, vocabulary or scale from the training table; raises MMTransferError where there is nothing to
        learn."""

    def adopt(self, carried: Carried) -> nn.Module:
        """Takes over labels or symbols of a checkpoint, instead of `prepare`; returns the head that belongs to them."""
        raise MMTransferError(
            f"--target {self.name} has no use for the head of a checkpoint", carried.backbone.name, "train one"
        )

    def match(self, table: Table) -> Table:
        """The table with its answers as a checkpoint's labels spell them; MMTransferError for what it does not have."""
        return table

    def check(self, table: Table, split: str, input: Input) -> Table:
        """The table without examples that cannot be used; raises MMTransferError for those, unless --skip-bad.

        `input`: that of the task, for how much of an example a head sees.
        """
        return table

    def weights(self, table: Table) -> np.ndarray | None:
        """The weight of each training example in the loss of its step, float64 (n,), positive; None: all weigh the
        same."""
        return None

    def least(self, row: Mapping[str, Any]) -> int:
        """Positions that a head must see of a row."""
        return 1

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that a head gives for an example, or for a position of it."""

    def names(self) -> list[str] | None:
        """The names of the outputs; None where outputs have none."""
        return None

    def head(self, width: int) -> nn.Module:
        """A new head on features of this width."""
        return HEADS[self.config.head](width, self.outputs)

    def readout(self, head: nn.Module, features: Mapping[str, Tensor]) -> Outputs:
        """The head on what it reads."""
        logits = head(features["x"])
        return {"logits": logits.to(torch.promote_types(logits.dtype, torch.float32))}

    @abstractmethod
    def tensor(self, answer: Any) -> Tensor:
        """An answer of the table's column as a training target."""

    def counted(self, outputs: Outputs, positions: Tensor) -> Outputs:
        """The outputs for a loss that wants their lengths on the host; `positions`: those of the last stage, there."""
        return outputs

    def soft(self, target: Tensor) -> Tensor:
        """A training target as one that can be mixed with another, which `loss` takes as well."""
        return target

    def shares(self, table: Table) -> np.ndarray | None:
        """How likely each training example is to be drawn for a place in an epoch, float64 (n,), 1 in all; None: each
        takes one place."""
        return None

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Each example's loss, float32 (batch,); the engine weighs them, sums a step's and divides by its weight.

        `targets`: on the host; padded outputs may have more positions than they.
        """

    def plain(self, outputs: Outputs) -> Tensor:
        """The outputs as one tensor that needs nothing else to be understood: logits, under the temperature that they
        are read with; log-probabilities of symbols; numbers in the units of the data."""
        return outputs["logits"] if "logits" in outputs else outputs["log_probs"]

    @abstractmethod
    def predict(self, outputs: Outputs) -> Predictions:
        """Answers, as records hold them, and what is stored with them."""

    def answer(self, value: Any) -> Any:
        """A true answer of the table, as `predict` would give it."""
        return value

    def tune(self, records: Records) -> Records:
        """Chooses from validation records what training does not (a threshold); gives the records under the choice.

        Called on the validation records of every epoch, before they are measured, and of the model that is kept.
        """
        return records

    def calibrate(self, records: Records) -> Records:
        """Fits to validation records what makes probabilities believable and changes no answer; gives the records under
        it.

        Called once, on those of the model that is kept.
        """
        return records

    def settle(self, heard: Callable[[], Records]) -> Records:
        """Chooses once, of the model that is kept, what training does not; gives the validation records under it.

        `heard`: makes the records by a pass over the validation data.
        """
        return self.tune(heard())

    @abstractmethod
    def metrics(self, records: Records) -> Mapping[str, Any]:
        """By name, `evaluate.Metric` objects after they have seen the records."""

    def values(self, records: Records) -> dict[str, float | None]:
        """The scores of `measure` but those of single labels, without intervals: they take a share of a second, after
        every epoch."""
        return {name: value for metric in self.metrics(records).values() for name, value in metric.compute().items()}

    def measure(self, records: Records) -> dict[str, Score]:
        """All scores, with intervals."""
        metrics = self.metrics(records)
        scores: dict[str, Score] = {}
        for metric in metrics.values():
            scores |= metric.scores()
        return scores | self.measure_each(metrics)

    def measure_each(self, metrics: Mapping[str, Any]) -> dict[str, Score]:
        """Scores of single labels or types, of what `metrics` gave."""
        return {}

    def alarm(self, records: Records) -> str | None:
        """What is wrong with a model that gives these validation records, and what to do; None if nothing."""
        return None

    def annotate(self, records: Records) -> Records:
        """The records with the columns that are stored but not needed for the scores."""
        return records

    def errors(self, records: Records) -> dict[str, Any]:
        """Where the errors are, as JSON, of what `annotate` gave; empty where nothing more than the scores is told."""
        return {}

    def join(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """One record of those of an input's pieces, in their order."""
        if not records:
            raise MMTransferError(
                "An input is too short to say anything about", "the inputs", "leave it out, the warning above names it"
            )
        return records[0]

    @abstractmethod
    def present(self, record: Mapping[str, Any]) -> Prediction:
        """One record as the user sees it."""

    def exported(self, head: nn.Module) -> dict[str, Any]:
        """The head as `interchange.write` takes it, for libraries that have a class for it."""
        return {}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the configuration, as JSON: labels or vocabulary, and what was tuned."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""

    def save(self, folder: Path) -> None:  # noqa: B027
        """Writes what is no JSON into files of its own, listed in `belongings.py`."""

    def load(self, folder: Path) -> None:  # noqa: B027
        """Takes back what `save` wrote; called after `restore`."""


def linear_layers(head: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of a head's linear layers, in their order."""
    return [(layer.weight, layer.bias) for layer in head.modules() if isinstance(layer, nn.Linear)]
