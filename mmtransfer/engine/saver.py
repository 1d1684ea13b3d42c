"""Checkpoints beside training: copied while it waits, written by a thread while it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtransfer.engine import checkpoint, memory
from mmtransfer.engine.checkpoint import MOMENTS, WEIGHTS
from mmtransfer.errors import MMTransferError


@dataclass
class _Best:
    """The best validated weights."""

    name: str
    """Of their folder."""
    tensors: Mapping[str, Tensor] | None
    """In memory; None where that has no room for them."""
    written: bool
    """Whether they are on disk."""


class Saver:
    """The checkpoints of a run, written one at a time.

    Training waits while tensors are copied in memory, and where the checkpoint before is still being written. The best
    weights stay in memory and are written with the next checkpoint. What memory has no room to copy is written at once.
    What the thread meets, such as a full disk, is raised by whoever waits for it next.

    Args:
        folder: of the checkpoints.
        minutes: between two checkpoints that are written only because an epoch has ended.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.folder, self._seconds = folder, 60.0 * minutes
        self._last = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._pending: Future[None] | None = None
        self._best: _Best | None = None
        self._position: Mapping[str, Any] = {}

    def is_due(self) -> bool:
        """Whether the last checkpoint, or the start where there is none, is too long ago."""
        return time.monotonic() - self._last >= self._seconds

    def keep_best(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Takes these weights for the best; `name`: of their folder."""
        if _fits(weights):
            self._best = _Best(name, _copied(weights), written=False)
        else:
            self.wait()
            checkpoint.write(self.folder, name, {WEIGHTS: weights}, None)
            self._best = _Best(name, None, written=True)

    def best(self, name: str) -> dict[str, Tensor]:
        """The best weights, from memory or from the folder of that name; MMTransferError where that is damaged."""
        if self._best is not None and self._best.name == name and self._best.tensors is not None:
            return dict(self._best.tensors)
        place = self.folder / name
        if not checkpoint.intact(place):
            raise MMTransferError("The best weights of the run are damaged", str(place), "go on without them: --resume")
        return checkpoint.read_point(place)[0][WEIGHTS]

    def save(
        self, state: dict[str, Any], weights: Mapping[str, Tensor], moments: Mapping[str, Tensor], is_best: bool = False
    ) -> None:
        """Begins to write a checkpoint; does nothing if the last one is of the very same state.

        `state`: of `TrainState`; `is_best`: whether the weights are those that `keep_best` was given last.
        """
        position = {name: value for name, value in state.items() if name != "spent"}
        if position == self._position:
            return
        self.wait()
        best = self._best
        twin = best if is_best else None
        kept = twin.tensors if twin is not None else None
        parts = {MOMENTS: moments} if kept is not None else {MOMENTS: moments, WEIGHTS: weights}
        beside = _fits(*parts.values())
        if beside:
            parts = {part: _copied(values) for part, values in parts.items()}
        if kept is not None:
            parts[WEIGHTS] = kept
        self._pending = self._thread.submit(self._write, state, parts, best, twin, _mark())
        self._last, self._position = time.monotonic(), position
        if not beside:
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is being written; raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits until nothing is being written, whatever came of it; nothing can be saved afterwards."""
        self._thread.shutdown()

    def _write(
        self,
        state: dict[str, Any],
        parts: Mapping[str, Mapping[str, Tensor]],
        best: _Best | None,
        twin: _Best | None,
        copied: torch.cuda.Event | None,
    ) -> None:
        """The work of the thread; `twin`: the best weights, where they are this checkpoint's."""
        if copied is not None:
            copied.synchronize()
        if best is not None and best.tensors is not None and not best.written:  # first: the checkpoint names them
            checkpoint.write(self.folder, best.name, {WEIGHTS: best.tensors}, None)
            best.written = True
        name = f"step-{state['steps_done']}"
        checkpoint.write(self.folder, name, parts, state, twin.name if twin is not None else None)
        checkpoint.commit(self.folder, name, state["best"])


def _fits(*parts: Mapping[str, Tensor]) -> bool:
    """Whether memory has ample room for copies."""
    return 2 * sum(value.nbytes for part in parts for value in part.values()) < memory.free_bytes()


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory, contiguous.

    From a GPU they are asked for, not waited for: `_mark` says when they are there. The next step changes the originals
    in the same stream, so after they were copied.
    """
    copies = {}
    for name, value in tensors.items():
        gpu = value.device.type == "cuda"
        copies[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=gpu)
        copies[name].copy_(value.detach(), non_blocking=gpu)
    return copies


def _mark() -> torch.cuda.Event | None:
    """A mark in the GPU's stream behind all that was asked for so far; None where no GPU is in use."""
    if not torch.cuda.is_initialized():
        return None
    mark = torch.cuda.Event()
    mark.record()
    return mark
