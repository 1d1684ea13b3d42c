"""From rows to batches: a plain DataLoader over this process's share of a plan, or states that are stored already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmtransfer.backbones.staged import State
from mmtransfer.cache.features import Features
from mmtransfer.data.table import Table
from mmtransfer.seeding import identity, number
from mmtransfer.tasks.base import Batch, Encoded, collate, collate_targets
from mmtransfer.tasks.task import Task

ROWS = 4096
"""Rows whose targets are made at a time."""


@dataclass(frozen=True)
class Examples:
    """A split, ready for the engine."""

    rows: datasets.Dataset
    """Ready for `task.encode`."""
    lengths: np.ndarray
    """Tokens or samples of each, int32 (n,); ones where all have one size."""
    answers: list[Any] | None
    """As `task.target.predict` gives them; None where they are not known."""
    weights: np.ndarray | None = None
    """Of each in the loss, float64 (n,); None where all are 1."""
    table: Table | None = None
    """Where the rows come from; None where nothing is ever stored of them."""
    stored: Stored | None = None
    """Their states behind frozen stages; None where they are to be computed."""

    def __len__(self) -> int:
        return len(self.rows)

    def weigh(self, indices: np.ndarray) -> np.ndarray:
        """The weights of these examples."""
        return np.ones(len(indices)) if self.weights is None else self.weights[indices]

    @property
    def ids(self) -> list[str]:
        return list(self.rows["id"])

    @property
    def cut(self) -> int:
        """Stages that are behind what `batches` gives."""
        return 0 if self.stored is None else self.stored.features.cut

    def with_states(self, states: Features, task: Task) -> Examples:
        """The same examples from these states on."""
        return replace(self, stored=Stored(states, self.rows, task))

    def batches(
        self, task: Task, batches: Iterable[list[int]], workers: int, pin: bool, seed: int | None = None, epoch: int = 0
    ) -> Iterable[Batch]:
        """These batches of examples at `cut`; `seed` and `epoch` draw augmentation and masks, None in evaluation."""
        if self.stored is None:
            return loader(EncodedRows(self.rows, task, seed, epoch), batches, workers, pin)
        return self.stored.batches(batches, seed, epoch)


class Stored:
    """Stored states of a split, with what training needs beside them: targets, and seeds of random masking."""

    def __init__(self, features: Features, rows: datasets.Dataset, task: Task) -> None:
        self.features = features
        # without the inputs: reading pictures again would cost what the states save
        self.targets = _targets(rows, task)
        self.beside = task.input.beside(rows)
        self.identities = [identity(name) for name in rows["id"]] if task.input.seeded else None

    def batches(self, batches: Iterable[list[int]], seed: int | None, epoch: int) -> Iterator[Batch]:
        for indices in batches:
            state: State = self.features.state(indices)
            if seed is not None and self.identities is not None:
                drawn = [number(seed, "augment", epoch, self.identities[index]) for index in indices]
                state["seeds"] = torch.tensor(drawn)
            for name, values in self.beside.items():
                state[name] = nn.utils.rnn.pad_sequence([values[index] for index in indices], batch_first=True)
            yield Batch(state, self._targets(indices))

    def _targets(self, indices: Sequence[int]) -> Tensor | None:
        if self.targets is None or isinstance(self.targets, Tensor):
            return None if self.targets is None else self.targets[torch.as_tensor(indices)]
        return collate_targets([self.targets[index] for index in indices])


def _targets(rows: datasets.Dataset, task: Task) -> Tensor | list[Tensor] | None:
    """Those that are known, stacked where all have one size; some rows at a time: a tensor a row takes half a kilobyte
    beside its numbers."""
    stacks: list[Tensor] = []
    ragged: list[Tensor] = []
    answers = [name for name in rows.column_names if name == task.target.kind]
    for batch in rows.data.table.select(answers).to_batches(max_chunksize=ROWS):
        targets = [task.target_of(row) for row in batch.to_pylist()]
        known = [target for target in targets if target is not None]
        if len({target.shape for target in (*known, *(stack[0] for stack in stacks[-1:]))}) > 1 or ragged:
            ragged += [target for stack in stacks for target in stack.unbind()] + known
            stacks.clear()
        elif known:
            stacks.append(torch.stack(known))
    return torch.cat(stacks) if stacks else ragged or None


def examples_of(task: Task, table: Table) -> Examples:
    """A split as the task prepares it."""
    rows, lengths = task.input.rows(table)
    known = task.target.kind in rows.column_names
    answers = [task.target.answer(value) for value in table.column(task.target.kind)] if known else None
    return Examples(rows, lengths, answers, table=table)


class EncodedRows(Dataset[Encoded]):
    """Rows encoded when asked for. `seed` and `epoch` draw the augmentation by id: workers need no state."""

    def __init__(self, rows: datasets.Dataset, task: Task, seed: int | None = None, epoch: int = 0) -> None:
        self.rows, self.task, self.seed, self.epoch = rows, task, seed, epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self._encoded(self.rows[index])

    def __getitems__(self, indices: list[int]) -> list[Encoded]:
        """A batch at once, which the DataLoader asks for: one look-up instead of one a row."""
        columns = self.rows[indices]
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return [self._encoded(row) for row in rows]

    def _encoded(self, row: dict[str, Any]) -> Encoded:
        if self.seed is None:
            return self.task.encode(row, None)
        return self.task.encode(row, number(self.seed, "augment", self.epoch, identity(row["id"])))


def loader(encoded: EncodedRows, batches: Iterable[list[int]], workers: int, pin: bool) -> DataLoader[Batch]:
    """Batches in the order of `batches`; with workers, that many processes decode ahead."""
    return DataLoader(
        encoded,  # type: ignore[arg-type]  # what comes out is what collate_fn makes
        batch_sampler=_Batches(batches),  # type: ignore[arg-type]  # any iterable of index lists serves
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
    )


class _Batches:
    """An iterable of index lists that is read once, when the loader starts."""

    def __init__(self, batches: Iterable[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterable[list[int]]:
        return iter(self.batches)
