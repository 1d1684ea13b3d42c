"""How contestants are timed: each is a process of its own that trains some steps when asked, and waits in between."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

Train = Callable[["Pace"], float | None]
"""Trains until `Pace.step` raises Enough, or to the end of an epoch; then gives the final metric, where it has one."""


class Enough(BaseException):
    """No more steps are wanted; not an Exception, so that no peer catches it."""


class Pace:
    """What a contestant calls: `start` before its first step, `step` after each.

    Args:
        pipe: to the process that asks.
        whole: whether an epoch is trained without a stop, else steps are asked for some at a time.
    """

    def __init__(self, pipe: Connection, whole: bool) -> None:
        self.pipe, self.whole = pipe, whole
        self.left = self.examples = 0
        self.notes: dict[str, Any] = {}
        """What else there is to tell at the end."""
        self.begun = self.first = self.last = time.perf_counter()

    def start(self) -> None:
        if not self.whole:
            self._wait()

    def step(self, examples: int) -> None:
        """Counts a step of so many examples."""
        self.examples += examples
        if self.whole:
            self.last = time.perf_counter()
            if self.first == self.begun:
                self.first, self.examples = self.last, 0  # what comes before the second step is start-up
            return
        self.left -= 1
        if self.left == 0:
            _finish_work()
            self.pipe.send({"seconds": time.perf_counter() - self.begun, "examples": self.examples})
            self._wait()

    def _wait(self) -> None:
        self.left, self.examples = self.pipe.recv(), 0
        if not self.left:
            raise Enough
        self.begun = time.perf_counter()

    def report(self, metric: float | None) -> dict[str, Any]:
        """Of a whole epoch: seconds to the end of the first step, seconds and examples of those after it."""
        return {
            "startup": self.first - self.begun,
            "seconds": self.last - self.first,
            "examples": self.examples,
            "metric": metric,
        }


def _finish_work() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _contest(train: Train, pipe: Connection, whole: bool) -> None:
    """What runs in a contestant's process."""
    import logging
    from multiprocessing import set_start_method

    import datasets
    import torch
    import transformers

    set_start_method("fork", force=True)  # a process that was spawned would spawn those that load for it
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    pace = Pace(pipe, whole)
    try:
        found = {"done": True, **pace.report(train(pace))}
    except Enough:
        found = {"done": True}
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {error}"}
    found |= pace.notes
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        found["device_peak_bytes"] = torch.cuda.max_memory_allocated()
    pipe.send(found)


def highest() -> dict[str, float]:
    """Operations a second of the best product of two large matrices, by arithmetic."""
    import torch

    from mmtransfer.engine.precision import has_bf16, tf32

    cuda, found = torch.cuda.is_available(), {}
    where, size = torch.device("cuda" if cuda else "cpu"), 8192 if cuda else 2048
    for name in ("fp32", "bf16") if has_bf16(where) else ("fp32",):
        one = torch.randn(size, size, device=where, dtype=torch.bfloat16 if name == "bf16" else torch.float32)
        fastest = float("inf")
        with tf32(where):
            for _ in range(20):  # seconds, so that a busy moment of the machine does not decide
                begun = time.perf_counter()
                float((one @ one)[0, 0])  # which waits for it
                fastest = min(fastest, time.perf_counter() - begun)
        found[name] = 2 * size**3 / fastest
    return found


class Contestant:
    """A process that trains.

    Args:
        train: module-level, or a partial of one, for it is pickled.
        whole: whether it trains an epoch at once.
    """

    def __init__(self, train: Train, whole: bool = False) -> None:
        context = get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_contest, args=(train, other, whole))
        self.process.start()
        other.close()

    def run(self, steps: int) -> dict[str, Any]:
        """So many steps, timed; or what made it fail."""
        try:
            self.pipe.send(steps)
        except OSError:
            return {"failed": "it has ended"}
        return self.result()

    def result(self) -> dict[str, Any]:
        try:
            return dict(self.pipe.recv())
        except EOFError:
            return {"failed": "it has ended"}

    def end(self) -> dict[str, Any]:
        """Its memory."""
        found = self.run(0)
        self.process.join()
        return found
