"""States of examples at a cut: the pass through the stages before it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from mmtransfer.backbones.staged import State
from mmtransfer.cache import features as shards
from mmtransfer.cache.features import Features
from mmtransfer.cache.settings import Cache
from mmtransfer.data.plan import Indices, evaluation_batches
from mmtransfer.engine import budget
from mmtransfer.engine.evaluation import in_parts
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.outlook import Outlook
from mmtransfer.engine.progress import bar
from mmtransfer.engine.stopping import Stop, Stopped
from mmtransfer.tasks.base import Batch

T = TypeVar("T")
ROWS = 512
"""Most examples of a batch that all cores, or a device, work on."""


@dataclass(frozen=True)
class States:
    """States of examples at a cut, computed when they are asked for; the stages before it are in eval mode."""

    model: Model
    examples: Examples
    machine: Machine
    cut: int
    """Stages that are behind the states; `model.end` for what the head reads."""
    cache: Cache = field(default_factory=Cache)
    """Where entries are, and what is counted."""
    label: str = "inputs"
    """What the examples are, for the progress bar and the entry."""
    stop: Stop = field(default_factory=Stop)
    outlook: Outlook = field(default_factory=Outlook)
    """Tells how long the run takes, where they are most of it."""

    def compute(self, batches: list[Indices], workers: int = 0) -> Iterator[tuple[Indices, State]]:
        """Batches of examples -> their states at the cut, on the CPU."""
        device = self.machine.device
        numbers = [batch.tolist() for batch in batches]
        load = self.examples.batches(self.model.task, numbers, workers, device.type == "cuda")

        def part_of(batch: Batch) -> State:
            with torch.no_grad():
                return kept(self.model.reach(batch.to(device).state, 0, self.cut))

        def state(batch: Batch) -> State:
            longest = int(batch.state.get("lengths", torch.ones(1)).max())
            return joined(in_parts(self.model, self.machine, batch, longest, part_of))

        states = on_each_core(state, load) if self._rows_a_core else map(state, load)
        yield from zip(batches, states, strict=True)

    def run(self, batches: list[Indices]) -> Iterator[tuple[Indices, State]]:
        """`compute` with a progress bar, counted; Stopped between two batches after a signal."""
        figures = self.cache.figures
        with bar(f"features of {self.label}", sum(map(len, batches)), self.machine.is_main) as progress:
            begun = time.monotonic()
            for indices, state in self.compute(batches, self.machine.workers.count):
                figures.pass_seconds += time.monotonic() - begun
                figures.passed += len(indices)
                figures.passed_units += int(self.examples.lengths[indices].sum())
                yield indices, state
                begun = time.monotonic()
                progress.advance(len(indices))
                self.outlook.after_batch(figures.passed, figures.pass_seconds)
                if self.stop.interrupted:
                    raise Stopped(True)

    def collect(self) -> Features:
        """The states of all examples, in memory."""
        batches = self.batches(budget.of_pass(self.model, self.machine))
        return shards.collect(self.cut, len(self.examples), self.run(batches))

    def batches(self, units: int) -> list[Indices]:
        """All examples in batches of at most `units` tokens or samples, padding included."""
        return evaluation_batches(self.examples.lengths, units, self._rows_a_core or ROWS)

    def sizes(self) -> np.ndarray:
        """Estimated bytes of each example's state, from the shape of one of middling length."""
        lengths = self.examples.lengths
        middle = int(np.argsort(lengths, kind="stable")[len(self.examples) // 2])
        ((_, state),) = self.compute([np.array([middle], np.int32)])
        size = state["x"].numel() * state["x"].element_size()
        if "lengths" not in state:
            return np.full(len(self.examples), float(size))
        return lengths * (size / max(1, int(lengths[middle])))

    @property
    def _rows_a_core(self) -> int | None:
        """Most examples of a batch where each core takes batches of its own; None where there is one at a time."""
        return self.model.task.input.rows_a_core() if self.machine.device.type == "cpu" else None


def kept(state: State) -> State:
    """What is stored of a state, on the CPU: the rest is only for what was before, or drawn anew every epoch."""
    return {name: value.cpu() for name, value in state.items() if name in ("x", "lengths")}


def joined(parts: list[State]) -> State:
    """The state of all parts of a batch."""
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def on_each_core(state: Callable[[T], State], load: Iterable[T]) -> Iterator[State]:
    """The states of batches, in their order; each is computed by one thread, as many at a time as there are cores."""
    threads = torch.get_num_threads()
    waiting: deque[Future[State]] = deque()
    torch.set_num_threads(1)  # of this thread, which loads, and of those that begin from now on
    try:
        with ThreadPoolExecutor(threads) as cores:
            for batch in load:
                waiting.append(cores.submit(state, batch))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)
