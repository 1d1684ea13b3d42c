"""From rows to batches: a DataLoader over this process's share of a plan, or states that are stored already."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmtransfer.backbones.staged import State
from mmtransfer.cache.decoded import Decoded
from mmtransfer.cache.features import Features
from mmtransfer.data.columnar import Rows
from mmtransfer.data.kinds import INPUTS
from mmtransfer.data.table import Table
from mmtransfer.seeding import identity, number
from mmtransfer.tasks.base import Batch, Encoded, collate, collate_targets
from mmtransfer.tasks.task import Task

ROWS = 4096
"""Rows whose targets are made at a time."""


@dataclass(frozen=True)
class Examples:
    """A split, ready for the engine."""

    rows: Rows
    """Ready for `task.encode`."""
    lengths: np.ndarray
    """Tokens or samples of each, int32 (n,); ones where all have one size."""
    answers: list[Any] | None
    """As `task.target.predict` gives them; None where they are not known."""
    weights: np.ndarray | None = None
    """Of each in the loss, float64 (n,); None where all are 1."""
    shares: np.ndarray | None = None
    """How likely each is to be drawn for a place in an epoch, float64 (n,); None: each takes one."""
    table: Table | None = None
    """Where the rows come from; None where nothing is ever stored of them."""
    stored: Stored | None = None
    """Their states behind frozen stages; None where they are to be computed."""
    decoded: Decoded | None = None
    """What their files hold, decoded once; None where files are read every time."""

    def __len__(self) -> int:
        return len(self.rows)

    def weigh(self, indices: np.ndarray) -> np.ndarray:
        """The weights of these examples."""
        return np.ones(len(indices)) if self.weights is None else self.weights[indices]

    @property
    def ids(self) -> list[str]:
        return self.rows.column("id")

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
        if self.stored is not None:
            return self.stored.batches(batches, pin, seed, epoch)
        if not INPUTS[task.input.kind].in_files:  # handed over between processes, texts take longer
            workers = 0
        if isinstance(batches, list):
            workers = min(workers, len(batches)) if len(batches) > 1 else 0
        augmented = seed is not None and task.input.augments
        decoded = self.decoded if self.decoded is not None and self.decoded.augmented == augmented else None
        made = (task, decoded, workers, pin)
        if made not in self._loaders:
            for other in [other for other in self._loaders if workers and other[2]]:
                del self._loaders[other]  # its processes end
            self._loaders[made] = Loader(EncodedRows(self.rows, task, decoded), workers, pin)
        return self._loaders[made].batches(batches, seed, epoch)

    @cached_property
    def _loaders(self) -> dict[tuple[Task, Decoded | None, int, bool], Loader]:
        """Kept, because starting processes takes time: they end with these examples."""
        return {}


class Stored:
    """Stored states of a split, with what training needs beside them: targets, and seeds of random masking."""

    def __init__(self, features: Features, rows: Rows, task: Task) -> None:
        self.features = features
        # without the inputs: reading pictures again would cost what the states save
        self.targets = _targets(rows, task)
        self.beside = task.input.beside(rows)
        self.identities = [identity(name) for name in rows.column("id")] if task.input.masks else None
        self.mask = task.input.mask

    def batches(self, batches: Iterable[list[int]], pin: bool, seed: int | None, epoch: int) -> Iterator[Batch]:
        for indices in batches:
            state: State = self.features.state(indices)
            if seed is not None and self.identities is not None:
                drawn = [number(seed, "augment", epoch, self.identities[index]) for index in indices]
                masks = [self.mask(*both) for both in zip(drawn, state["lengths"].tolist(), strict=True)]
                state["masked"] = nn.utils.rnn.pad_sequence(masks, batch_first=True)
            for name, values in self.beside.items():
                state[name] = nn.utils.rnn.pad_sequence([values[index] for index in indices], batch_first=True)
            batch = Batch(state, self._targets(indices))
            yield batch.pin_memory() if pin else batch

    def _targets(self, indices: Sequence[int]) -> Tensor | None:
        if self.targets is None or isinstance(self.targets, Tensor):
            return None if self.targets is None else self.targets[torch.as_tensor(indices)]
        return collate_targets([self.targets[index] for index in indices])


def _targets(rows: Rows, task: Task) -> Tensor | list[Tensor] | None:
    """Those that are known, stacked where all have one size; some rows at a time: a tensor a row takes half a kilobyte
    beside its numbers."""
    stacks: list[Tensor] = []
    ragged: list[Tensor] = []
    answers = [name for name in rows.column_names if name == task.target.kind]
    for batch in rows.table.select(answers).to_batches(max_chunksize=ROWS):
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


class Asked(NamedTuple):
    """A batch that is to be encoded."""

    indices: list[int]
    seed: int | None
    """Draws, with the epoch and each example's id, the augmentation; None in evaluation."""
    epoch: int


class EncodedRows(Dataset[Batch]):
    """Rows, or what was decoded of them, encoded when a batch of them is asked for: workers need no state."""

    def __init__(self, rows: Rows, task: Task, decoded: Decoded | None = None) -> None:
        file = task.input.kind
        # where they lie in the table, the bytes of a file would be copied with its row
        self.rows = rows if decoded is None else rows.without(file)
        self.task, self.decoded = task, decoded

    def __getitem__(self, asked: Asked) -> Batch:
        rows = self._read(asked.indices)
        encoded, mixture = self._encoded(asked.indices, rows, asked), self.task.input.mixture
        if asked.seed is None or mixture is None:
            return collate(encoded)

        def partner(index: int) -> Encoded:
            return self._soft(self._encoded([index], self._read([index]), asked)[0])

        drawn = [number(asked.seed, "mixture", asked.epoch, identity(row["id"])) for row in rows]
        mixed = (
            mixture(self._soft(one), partner, len(self.rows), each) for one, each in zip(encoded, drawn, strict=True)
        )
        return collate(list(mixed))

    def _read(self, indices: list[int]) -> list[dict[str, Any]]:
        columns = self.rows[indices]  # one look-up instead of one a row
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _encoded(self, indices: list[int], rows: list[dict[str, Any]], asked: Asked) -> list[Encoded]:
        decoded = [None] * len(rows) if self.decoded is None else self.decoded.of(indices)
        each = zip(rows, decoded, strict=True)
        return [self.encode(row, self._seed(row, asked), known) for row, known in each]

    def encode(self, row: dict[str, Any], seed: int | None, decoded: Tensor | None) -> Encoded:
        """One example of them."""
        return self.task.encode(row, seed, decoded)

    def _seed(self, row: dict[str, Any], asked: Asked) -> int | None:
        return None if asked.seed is None else number(asked.seed, "augment", asked.epoch, identity(row["id"]))

    def _soft(self, one: Encoded) -> Encoded:
        assert one.target is not None  # training data are labelled
        return replace(one, target=self.task.target.soft(one.target))


def uploaded(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on a device; to a GPU the next one is on its way while the one before is worked on."""
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    aside, working = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    waiting: list[tuple[Batch, torch.cuda.Event]] = []

    def arrived() -> Batch:
        batch, event = waiting.pop(0)
        working.wait_event(event)
        for value in batch.state.values():
            value.record_stream(working)  # its memory is not given to the next upload before it is done with
        return batch

    for batch in batches:
        with torch.cuda.stream(aside):
            waiting.append((batch.to(device), aside.record_event()))
        if len(waiting) > 1:
            yield arrived()
    while waiting:
        yield arrived()


START = "fork" if sys.platform == "linux" else None
"""How processes that load are started: forked ones take over what is there; for others it is pickled, which a network
whose weights are computed from others is not. Elsewhere than on Linux forking is not safe."""


class Loader:
    """Gives batches, pass after pass. With workers, that many processes encode ahead, and stay for the next pass; a new
    pass ends the one before."""

    def __init__(self, encoded: EncodedRows, workers: int, pin: bool) -> None:
        self.order = _Order()
        self.loader = DataLoader(
            encoded,
            sampler=self.order,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=workers,
            pin_memory=pin,
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,
            multiprocessing_context=START if workers else None,
        )

    def batches(self, batches: Iterable[list[int]], seed: int | None, epoch: int) -> Iterator[Batch]:
        """These batches in their order, drawn as `Asked` says."""
        self.order.asked = (Asked(indices, seed, epoch) for indices in batches)
        return iter(self.loader)


class _Order:
    """What a pass asks for; it is gone through once, while the pass goes on."""

    asked: Iterable[Asked] = ()

    def __iter__(self) -> Iterator[Asked]:
        return iter(self.asked)


def _as_it_is(batch: Any) -> Any:
    return batch
