"""This process among the others of a run: its Accelerator, and what the main one does on behalf of all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from mmtransfer import launcher
from mmtransfer.errors import MMTransferError


def accelerator() -> Accelerator:
    """The Accelerator of this process; MMTransferError where a launcher's variables lead nowhere."""
    launcher.check()
    try:
        return Accelerator(cpu=not torch.cuda.is_available())
    except (ValueError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MMTransferError(
            f"The processes cannot be set up: {first}",
            "the environment variables of a launcher, or the configuration of accelerate",
            launcher.DO,
        ) from error


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
