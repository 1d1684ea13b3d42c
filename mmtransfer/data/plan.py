"""Which examples make up which step, as a pure function of (lengths, seed, epoch).

A step is what one optimiser update sees: `batch_size` examples over all processes, cut into micro-batches that keep a
budget of padded length. The plan is global, the same for every number of processes; a process takes its share of each
step. Nothing here is stored in a checkpoint: the plan is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mmtransfer.seeding import generator

POOL_STEPS = 50
"""Steps' worth of examples that are sorted by length together: near-equal lengths, yet a new mix every epoch."""

Indices = np.ndarray
"""Example numbers, int32, shape (count,)."""


@dataclass(frozen=True)
class Plan:
    """Steps of an epoch, made of micro-batches.

    Args:
        lengths: padded-length units of each example (tokens, samples), int32 (n,); all ones for fixed sizes.
        batch_size: examples per step, over all processes.
        budget: the most `longest * count` of a micro-batch; an example over it is a micro-batch of its own.
        seed: root seed of the run.
        shares: how likely each example is to be drawn for a place, float64 (n,), 1 in all; None: each takes one.
    """

    lengths: np.ndarray
    batch_size: int
    budget: int
    seed: int
    shares: np.ndarray | None = None

    @cached_property
    def steps_per_epoch(self) -> int:
        """A lone last example of a fixed size joins the step before: BatchNorm has no statistics of one value."""
        n, size = len(self.lengths), self.batch_size
        return n // size if self.fixed and n > size and n % size == 1 else -(-n // size)

    @cached_property
    def fixed(self) -> bool:
        """Whether all examples have one size; then nothing is sorted."""
        return len(self.lengths) == 0 or int(self.lengths.min()) == int(self.lengths.max())

    def halved(self) -> Plan:
        """The plan after a micro-batch ran out of memory; the loss does not depend on the cut."""
        return replace(self, budget=max(1, self.budget // 2))

    def epoch(self, epoch: int) -> Epoch:
        """The steps of `epoch`; memory is 4 bytes an example."""
        size, random = self.batch_size, generator(self.seed, "order", epoch)
        n = len(self.lengths)
        order = random.permutation(n) if self.shares is None else random.choice(n, n, p=self.shares)
        order = order.astype(np.int32)
        steps = np.arange(self.steps_per_epoch, dtype=np.int32)
        if not self.fixed:
            for start in range(0, len(order), POOL_STEPS * size):
                pool = order[start : start + POOL_STEPS * size]
                pool[:] = pool[np.argsort(self.lengths[pool], kind="stable")]
            for start in range(0, len(steps), POOL_STEPS):
                random.shuffle(steps[start : start + POOL_STEPS])
        return Epoch(self, order, steps)


@dataclass(frozen=True)
class Epoch:
    """One epoch's order; a step's micro-batches are made when the step is asked for."""

    plan: Plan
    order: np.ndarray
    steps: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def examples(self, step: int) -> Indices:
        """All examples of a step, sorted by length where lengths differ."""
        start = int(self.steps[step]) * self.plan.batch_size
        last = self.steps[step] == len(self.steps) - 1
        return self.order[start : None if last else start + self.plan.batch_size]

    def micro_batches(self, step: int, processes: int = 1) -> list[Indices]:
        """The step, cut so that `longest * count` keeps the budget; the same number for each of the processes, as far
        as there are examples. Examples of one size are dealt out evenly."""
        plan, examples = self.plan, self.examples(step)
        if plan.fixed:
            most = max(1, plan.budget // int(plan.lengths[examples[0]]))
            count = multiple(-(-len(examples) // most), processes)
            return np.array_split(examples, min(count, len(examples)))
        return spread(cut(examples, plan.lengths, plan.budget), plan.lengths, processes)

    def share(self, step: int, rank: int, processes: int) -> list[tuple[Indices, bool]]:
        """What one process runs in a step: (examples, whether they count).

        Each process gets exactly ceil(micro-batches / processes). One that is short, where micro-batches of one example
        cannot be shared out evenly, runs the step's shortest example with weight 0: a process that skips a forward pass
        would leave the others waiting in the reduction.
        """
        micro = self.micro_batches(step, processes)
        rounds = -(-len(micro) // processes)
        examples = self.examples(step)
        filler = examples[np.argmin(self.plan.lengths[examples])][None]
        own = micro[rank::processes]
        return [(batch, True) for batch in own] + [(filler, False)] * (rounds - len(own))

    def batches(self, first_step: int, rank: int, processes: int) -> Iterator[list[int]]:
        """The example numbers a process loads from `first_step` on: the `batch_sampler` of its DataLoader."""
        for step in range(first_step, len(self)):
            for batch, _ in self.share(step, rank, processes):
                yield batch.tolist()


def cut(examples: Indices, lengths: np.ndarray, budget: int) -> list[Indices]:
    """Consecutive runs of `examples` whose longest length times count is at most `budget` (or that hold one)."""
    batches, start, longest = [], 0, 0
    for stop, length in enumerate(lengths[examples].tolist()):
        longest = max(longest, length)
        if stop > start and longest * (stop + 1 - start) > budget:
            batches.append(examples[start:stop])
            start, longest = stop, length
    batches.append(examples[start:])
    return batches


def spread(batches: list[Indices], lengths: np.ndarray, processes: int) -> list[Indices]:
    """The batches, the costliest halved until their number is a multiple of `processes` or each holds one example."""
    batches = list(batches)
    for _ in range(multiple(len(batches), processes) - len(batches)):
        cost, place = max((int(lengths[b].max()) * len(b) * (len(b) > 1), place) for place, b in enumerate(batches))
        if cost == 0:
            break
        batches[place : place + 1] = np.array_split(batches[place], 2)
    return batches


def multiple(count: int, of: int) -> int:
    """The least multiple of `of` that is no less than `count`."""
    return -(-count // of) * of


def evaluation_batches(lengths: np.ndarray, budget: int, batch_size: int) -> list[Indices]:
    """All examples once, longest first so that out-of-memory shows at once, at most `batch_size` a batch."""
    order = np.argsort(-lengths.astype(np.int64), kind="stable").astype(np.int32)
    batches = []
    for batch in cut(order, lengths, budget) if len(order) else []:
        batches += [batch[start : start + batch_size] for start in range(0, len(batch), batch_size)]
    return batches


def padding_share(lengths: np.ndarray, batches: list[Indices]) -> float:
    """The share of the padded positions that is padding, 0 to 1."""
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return 1.0 - sum(int(lengths[batch].sum()) for batch in batches) / max(1, padded)
