"""This process among the others of a run: its Accelerator, and what the main one does on behalf of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

from mmtransfer import launcher
from mmtransfer.engine.stopping import Stopped
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


@dataclass(frozen=True)
class Alone:
    """What an Accelerator tells of a process that is the only one, without its library, which takes a second to
    import."""

    device: torch.device
    num_processes: int = 1
    process_index: int = 0
    is_main_process: bool = True


def for_inference() -> Accelerator:
    """This process, for what trains nothing: of several, its Accelerator. Raises MMTransferError as `accelerator`."""
    launcher.check()
    if launcher.processes() > 1:
        return accelerator()
    device = "cuda" if torch.cuda.is_available() and not _on_cpu() else "cpu"
    return cast("Accelerator", Alone(torch.device(device)))


def accelerator() -> Accelerator:
    """The Accelerator of this process; MMTransferError where a launcher's variables lead nowhere."""
    launcher.check()
    _refuse_without_gpu()
    from accelerate import Accelerator

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
    count = torch.cuda.device_count() if torch.cuda.is_available() and not _on_cpu() else 0
    asked = max(launcher.local_processes(), launcher.number("LOCAL_RANK", 0) + 1)
    if 0 < count < asked:
        raise MMTransferError(
            f"{asked} processes on this machine, and {count} GPU(s): a process needs one of its own",
            "the launcher's number of processes",
            f'start {count} with --nproc_per_node {count}, or set CUDA_VISIBLE_DEVICES="" to train on the CPU',
        )


def _on_cpu() -> bool:
    """Whether Accelerate is told to leave the GPU alone."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")


def together(accelerator: Accelerator, action: Callable[[], None]) -> None:
    """Does something on the main process; what it refuses there is refused by all, so that none waits for the others.

    Raises what `action` raises.
    """
    refusal: Exception | None = None
    if accelerator.is_main_process:
        try:
            action()
        except Exception as error:
            refusal = error
    found = shared(accelerator, refusal)
    if found is not None:
        raise found


def broadcast(accelerator: Accelerator, tensors: Iterable[Tensor]) -> None:
    """Every process takes the main one's values of these tensors, which need no gradient."""
    if accelerator.num_processes > 1:
        from accelerate import utils

        for value in tensors:
            value.copy_(utils.broadcast(value.clone(), from_process=0))


def shared(accelerator: Accelerator, value: T) -> T:
    """What the main process has there, on every process."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return cast(T, broadcast_object_list([value])[0])


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
        word = shared(accelerator, word)
    if failure is not None:
        raise failure
    if steps is None and word == "stop":
        raise Stopped(True)
    if steps is None and word == "fail":
        raise RuntimeError("the main process has failed")
    return result
