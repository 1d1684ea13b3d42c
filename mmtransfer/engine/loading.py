"""From rows to batches: a plain DataLoader over this process's share of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader, Dataset

from mmtransfer.seeding import identity, number
from mmtransfer.tasks.base import Batch, Encoded, Task, collate


@dataclass(frozen=True)
class Examples:
    """A split, ready for the engine: rows for `task.encode`, lengths int32 (n,), answers as `predict` gives them,
    weights in the loss float64 (n,), None where all are 1."""

    rows: datasets.Dataset
    lengths: np.ndarray
    answers: list[Any] | None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def weigh(self, indices: np.ndarray) -> np.ndarray:
        """The weights of these examples."""
        return np.ones(len(indices)) if self.weights is None else self.weights[indices]

    @property
    def ids(self) -> list[str]:
        return list(self.rows["id"])


class EncodedRows(Dataset[Encoded]):
    """Rows encoded when asked for. `seed` and `epoch` draw the augmentation by id: workers need no state."""

    def __init__(self, rows: datasets.Dataset, task: Task, seed: int | None = None, epoch: int = 0) -> None:
        self.rows, self.task, self.seed, self.epoch = rows, task, seed, epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        row: dict[str, Any] = self.rows[index]
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
