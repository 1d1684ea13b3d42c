"""Which algorithms PyTorch may take: those that give the same bits each time, or whichever measures as the fastest."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")

VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
"""What cuBLAS reads when it is first used: with one of `WORKSPACES` its sums have one order."""
WORKSPACES = (":4096:8", ":16:8")
"""NVIDIA's documentation of cuBLAS, section 2.1.4."""
ATTENTION = [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]
"""The backends of attention whose backward pass has a deterministic form, which PyTorch takes when asked."""


def prepare(asked: bool) -> None:
    """Sets what has to stand before CUDA starts; MMTransferError where that is too late, or where something else
    stands there. The variable stays set: cuBLAS reads it once."""
    if not asked or not torch.cuda.is_available():
        return
    found = os.environ.get(VARIABLE)
    if found is None and not torch.cuda.is_initialized():
        os.environ[VARIABLE] = WORKSPACES[0]
    elif found not in WORKSPACES:
        what = f"is {found}, not {' or '.join(WORKSPACES)}" if found else "is not set, and CUDA has started without it"
        raise MMTransferError(
            f"{VARIABLE} {what}",
            "--deterministic",
            f"start anew with {VARIABLE}={WORKSPACES[0]}, or leave the flag out",
        )


@contextmanager
def deterministic(asked: bool, device: torch.device) -> Iterator[None]:
    """Where asked for, every operation inside gives the same bits whenever it is repeated on this device; afterwards
    PyTorch's settings are what they were.

    Raises MMTransferError where the network holds an operation that has no such form.
    """
    if not asked:
        yield
        return
    if device.type == "cuda":
        logger.info("--deterministic: a resumed run gives the same bits; steps take longer, CTC's loss is the CPU's")
    cudnn, filling = torch.backends.cudnn, cast(Any, torch.utils.deterministic)  # makes its attribute as it is loaded
    before = cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory
    mode = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        # it would cost a kernel a tensor, and shows only what reads memory that nobody has written
        cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory = True, False, False
        with sdpa_kernel(ATTENTION):
            yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise MMTransferError(
            f"Part of the network has no deterministic form: {str(error).split(' does not')[0]}",
            "--deterministic",
            "leave it out, or choose another backbone",
        ) from error
    finally:
        torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])
        cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory = before


@contextmanager
def fastest_convolutions(sizes_are_fixed: bool, device: torch.device) -> Iterator[None]:
    """cuDNN tries its algorithms for each size that it meets and keeps the fastest, with CUDA and inputs of one size,
    unless algorithms are to be deterministic; afterwards the setting is what it was."""
    before = torch.backends.cudnn.benchmark
    try:
        if sizes_are_fixed and device.type == "cuda" and not torch.are_deterministic_algorithms_enabled():
            torch.backends.cudnn.benchmark = True
        yield
    finally:
        torch.backends.cudnn.benchmark = before
