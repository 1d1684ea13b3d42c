"""When a device's memory is too small: passes in parts, heads on the CPU, and what is said where nothing helps."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from mmtransfer.config import flag
from mmtransfer.engine.precision import exact
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Batch
from mmtransfer.tasks.inputs.base import Input

logger = logging.getLogger("mmtransfer")
T = TypeVar("T")

AMOUNT = r"([\d.]+) (bytes|KiB|MiB|GiB)"
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass
class Parts:
    """Passes without gradient over batches: a batch that memory does not hold goes through in parts, and so do, once
    that has happened, all that are as large. What comes out does not depend on it."""

    most: int | None = None
    """Examples times the longest, padding included, that a part may have; None while memory has held all."""

    def over(self, batch: Batch, work: Callable[[Batch], T]) -> list[T]:
        """What `work`, which takes a part to the device, gives for each part in turn: mostly one, the whole.

        Raises torch.OutOfMemoryError where it has no memory for a single example.
        """
        waiting, done = [batch], list[T]()
        while waiting:
            part = waiting.pop()
            if len(part) > 1 and self.most is not None and _units(part) > self.most:
                waiting += reversed(part.halves())
                continue
            try:
                done.append(work(part))
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                self.most = _units(part) // 2
                waiting.append(part)
                logger.warning("Out of memory: passes of at most %d units from here on", self.most)
            else:
                continue
            torch.cuda.empty_cache()  # here, where the error no longer holds on to what was computed
        return done


def _units(batch: Batch) -> int:
    x = batch.state["x"]
    return len(x) * (x.shape[1] if "lengths" in batch.state else 1)


def else_on_the_cpu(device: torch.device, solve: Callable[[torch.device], T]) -> T:
    """What `solve` gives on a device, with exact products; where memory does not suffice there, on the CPU, aloud."""
    try:
        with exact(device):
            return solve(device)
    except torch.OutOfMemoryError as error:
        logger.warning("Out of memory: the head is found on the CPU (%s)", told(error))
    torch.cuda.empty_cache()
    return solve(torch.device("cpu"))


def refusal(
    error: torch.OutOfMemoryError, input: Input, length: int, precision: str, training: bool, fits: int | None = None
) -> MMTransferError:
    """What to say where one example is too much.

    Args:
        error: what torch has raised.
        input: what the example is of.
        length: of the example, in the unit of the input's lengths.
        precision: of the forward pass.
        training: whether the pass was one back as well.
        fits: the longest example that was seen to fit; None where none was tried or all have one size.
    """
    smaller = input.bound(length, 0.5)
    helps = [f"{input.bound(fits)} would fit" if fits else f"give smaller inputs ({smaller} takes about half, or less)"]
    if training:
        helps.append("train less of the network (--strategy partial or linear-probe)")
    if precision == "fp32":
        helps.append("compute in --precision bf16")
    return MMTransferError(
        f"Out of memory on a single example: {told(error)}",
        f"{'training' if training else 'a pass'} on an example as large as {input.bound(length)} allows",
        ", ".join(helps[:-1]) + f", or {helps[-1]}" if len(helps) > 1 else helps[0],
    )


def refusal_of_step(error: torch.OutOfMemoryError, optimizer: str, recorded: bool) -> MMTransferError:
    """What to say where the gradients are there, and the optimiser's step is too much; `recorded`: whether recorded
    passes hold memory."""
    helps = ["train less of the network (--strategy partial or lora)"]
    if optimizer != "sgd":
        helps.append("give --optimizer sgd, which keeps one number for each that it trains, not two")
    if recorded:
        helps.append("give --graphs off")
    return MMTransferError(
        f"Out of memory in the optimiser's step: {told(error)}", f"--optimizer {optimizer}", ", or ".join(helps)
    )


def refusal_of_several(error: torch.OutOfMemoryError, input: Input) -> MMTransferError:
    """What to say where one of several processes is short: cutting a step again would take all of them, of which the
    others wait for this one."""
    return MMTransferError(
        f"A process is out of memory: {told(error)}",
        f"micro-batches of {input.budget()} units, with several processes",
        f"start again with a smaller {flag(input.budgeted)}",
    )


def told(error: torch.OutOfMemoryError) -> str:
    """How much was asked for, free and missing, as far as the message of CUDA's allocator says."""
    said = str(error)
    asked = _amount(rf"allocate {AMOUNT}", said)
    free, whole = _amount(rf"{AMOUNT} is free", said), _amount(rf"total capacity of {AMOUNT}", said)
    if asked is None or free is None:
        return said.strip().split("\n")[0][:200] or "the device does not say how much is missing"
    of = "" if whole is None else f" of {_gib(whole)}"
    missing = f", so {_gib(asked - free)} are missing" if asked > free else ", in pieces"
    return f"{_gib(asked)} were asked for and {_gib(free)}{of} are free{missing}"


def _amount(pattern: str, said: str) -> float | None:
    found = re.search(pattern, said)
    return float(found[1]) * UNITS[found[2]] if found else None


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
