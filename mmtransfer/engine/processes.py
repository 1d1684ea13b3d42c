"""This process among the others of a run: its Accelerator, and what the main one does on behalf of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from mmtransfer import launcher
from mmtransfer.engine.stopping import Stopped
from mmtransfer.errors import MMTransferError

T = TypeVar("T")


def accelerator() -> Accelerator:
    """The Accelerator of this process; MMTransferError where a launcher's variables lead nowhere."""
    launcher.check()
    _refuse_without_gpu()
    try:
        return Accelerator(cpu=not torch.cuda.is_available())
    except (ValueError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MMTransferError(
            f"The processes cannot be set up: {first}",
            "the environment variables of a launcher, or the configuration of accelerate",
            launcher.DO,
        ) from error


def _refuse_without_gpu() -> None:
    """Raises MMTransferError, on every process of this machine, where there are more of them than GPUs."""
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
    count = torch.cuda.device_count() if torch.cuda.is_available() and not on_cpu else 0
    asked = max(launcher.local_processes(), launcher.number("LOCAL_RANK", 0) + 1)
    if 0 < count < asked:
        raise MMTransferError(
            f"{asked} processes on this machine, and {count} GPU(s): a process needs one of its own",
            "the launcher's number of processes",
            f'start {count} with --nproc_per_node {count}, or set CUDA_VISIBLE_DEVICES="" to train on the CPU',
        )


def together(accelerator: Accelerator, action: Callable[[], None]) -> None:
    """Does something on the main process; what it refuses there is refused by all, so that none waits for the others.

    Raises what `action` raises.
    """
    refusal: list[Exception | None] = [None]
    if accelerator.is_main_process:
        try:
            action()
        except Exception as error:
            refusal = [error]
    (found,) = broadcast_object_list(refusal)
    if found is not None:
        raise found


def in_step(accelerator: Accelerator, work: Callable[[], Generator[None, None, T]]) -> T | None:
    """What `work` returns, done by the main process, while the others wait for each of its yields; None on the others.

    One wait for all of it would outlast the processes' time limit for waiting. Raises what `work` raises; on the other
    processes Stopped where it raised that, else RuntimeError.
    """
    steps = work() if accelerator.is_main_process else None
    word, failure, result = "more", None, None
    while word == "more":
        if steps is not None:
            try:
                next(steps)
            except StopIteration as end:
                word, result = "done", end.value
            except BaseException as error:
                word, failure = "stop" if isinstance(error, Stopped) else "fail", error
        if accelerator.num_processes > 1:
            (word,) = broadcast_object_list([word])
    if failure is not None:
        raise failure
    if steps is None and word == "stop":
        raise Stopped(True)
    if steps is None and word == "fail":
        raise RuntimeError("the main process has failed")
    return result
