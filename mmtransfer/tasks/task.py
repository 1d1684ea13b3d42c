"""A task: an input times a target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmtransfer.backbones import interchange
from mmtransfer.backbones.carried import Carried
from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.data.columnar import Rows
from mmtransfer.data.columns import Columns
from mmtransfer.data.table import Table
from mmtransfer.tasks.base import Encoded, Outputs, Problem, Records
from mmtransfer.tasks.inputs.base import Input
from mmtransfer.tasks.readout import READOUTS
from mmtransfer.tasks.targets.base import Target


@dataclasses.dataclass(frozen=True)
class Task:
    """What is done with data: what a model sees of an example, and what it is to say. Here is what needs both."""

    name: str
    input: Input
    target: Target

    @property
    def config(self) -> RunConfig:
        """The settings, with what they leave to the backbone filled in."""
        return self.input.config

    @property
    def problem(self) -> Problem | None:
        """What the targets are to a solver that finds the head exactly; None where there is no such solver."""
        return self.target.problem if self.config.head == "linear" else None

    def columns(self) -> Columns:
        """The columns of the data that the configuration names, and what they hold."""
        own = {**self.input.columns(), **self.target.columns()}
        return Columns(kind=self.target.kind, group=self.config.group_column, **own)

    def prepare(self, table: Table) -> None:
        """Fixes labels or vocabulary, from the training table only."""
        self.input.learn(table)
        self.target.prepare(table)

    def check(self, table: Table, split: str) -> Table:
        """The table without examples that cannot be used; raises MMTransferError for those, unless --skip-bad."""
        return self.target.check(self.input.check(table, split), split, self.input)

    def adopt(self, carried: Carried) -> nn.Module:
        """Takes over labels or symbols of a checkpoint, instead of `prepare`; returns the head that belongs to them."""
        return self.target.adopt(carried)

    def match(self, table: Table) -> Table:
        """The table with its answers as a checkpoint's labels spell them; MMTransferError for what it does not have."""
        self.input.learn(table)
        return self.target.match(table)

    def encode(self, row: Mapping[str, Any], seed: int | None, decoded: Tensor | None = None) -> Encoded:
        """An example as tensors. `seed` draws its augmentation, as a pure function; None in evaluation. `decoded`: what
        `Input.decode` gave of it, of which the row need not have the file then."""
        least = self.target.least(row) if seed is not None and self.input.augments else 1
        return dataclasses.replace(self.input.encode(row, seed, least, decoded), target=self.target_of(row))

    def target_of(self, row: Mapping[str, Any]) -> Tensor | None:
        """The training target of a row, from its answer alone; None if the row has none."""
        return self.target.tensor(row[self.target.kind]) if self.target.kind in row else None

    def class_names(self) -> list[str] | None:
        """The classes' names as inputs; None where such inputs are no text."""
        names = self.target.names()
        return None if names is None else self.input.spelled(names)

    def features(self, backbone: Backbone, state: State) -> State:
        """What the head sees of the last stage's state."""
        return READOUTS[self.target.reads](backbone, state)

    def readout(self, head: nn.Module, features: State) -> Outputs:
        """The head on `features`."""
        return self.target.readout(head, features)

    def annotate(self, rows: Rows, records: Records) -> Records:
        """The records of these rows with the columns that are stored but not needed for the scores."""
        conditions = self.input.conditions(rows) if self.target.explained else {}
        return self.target.annotate({**records, **conditions})

    def export(self, folder: Path, backbone: Backbone, head: nn.Module) -> None:
        """Writes what other libraries need to read the model in `folder`, where the backbone has been saved."""
        interchange.write(backbone, folder, **self.input.exported(), **self.target.exported(head))

    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the configuration, as JSON: labels or vocabulary, and what was tuned."""
        return {**self.target.state(), **self.input.state()}

    def restore(self, state: Mapping[str, Any], folder: Path) -> None:
        """Takes back what `state` gave, and the target's own files in `folder`."""
        self.target.restore(state)
        self.input.restore(state)
        self.target.load(folder)
