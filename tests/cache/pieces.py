"""Builds a cache entry slowly enough to be killed; run by test_features.py.

    python pieces.py FOLDER KEY SECONDS

Each of the 40 examples is a function of its number; a batch takes SECONDS. Prints a line a shard.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mmtransfer.cache import features
from mmtransfer.cache.store import Store
from mmtransfer.data.plan import evaluation_batches

LENGTHS = np.random.default_rng(0).integers(1, 30, 40).astype(np.int32)
PLAN = {"budget": 60}


def row(number: int) -> torch.Tensor:
    return torch.randn(int(LENGTHS[number]), 3, generator=torch.Generator().manual_seed(number))


def passed(batches: list[np.ndarray], seconds: float) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    for batch in batches:
        time.sleep(seconds)
        rows = [row(number) for number in batch.tolist()]
        state = {"x": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)}
        yield batch, {**state, "lengths": torch.tensor([len(one) for one in rows])}


def build(store: Store, key: str, seconds: float = 0.0) -> Iterator[int]:
    """Yields after each shard; does nothing if the entry is there."""
    groups = features.shards(evaluation_batches(LENGTHS, 60, 512), LENGTHS * 12.0, 500)
    with store.building(key, lambda: time.sleep(0.01)) as folder:
        if not store.has(key):
            yield from features.build(
                folder, store.entry(key), groups, PLAN, lambda batches: passed(batches, seconds), {}
            )


if __name__ == "__main__":
    for done in build(Store(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3])):
        print(done, flush=True)
