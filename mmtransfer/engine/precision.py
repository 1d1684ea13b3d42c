"""Threads, the allocator and the arithmetic of the forward pass."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import nn

from mmtransfer import launcher
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")


def tune_allocator() -> str:
    """Keeps freed activations mapped (glibc only); returns what was set, for result.json.

    By default glibc returns every large block to the kernel and pays page faults for it again at the next step:
    1.1x to 2.1x images/s on 2 cores for 18-25 % more peak memory (resnet18, mobilenet_v2, batch 32).
    """
    if platform.libc_ver()[0] != "glibc":
        return "default"
    mmap_max, trim_threshold, top_pad = -4, -1, -2  # M_* of malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    done = mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1) and mallopt(top_pad, 256 * 2**20)
    return "glibc: mmap_max=0 trim_threshold=2G top_pad=256M" if done else "default"


def set_threads(threads: int | None, local_processes: int) -> int:
    """Sets this process's CPU threads (its share of the cores by default) and says so.

    Launchers export OMP_NUM_THREADS=1, which halves the speed of one process on two cores.
    """
    threads = threads or max(1, launcher.cores() // local_processes)
    torch.set_num_threads(threads)
    each = f" in each of {local_processes} processes" if local_processes > 1 else ""
    logger.info("CPU threads: %d%s (cores: %d); --threads changes that", threads, each, launcher.cores())
    return threads


def warn_of_lone_process() -> None:
    """Says so where `accelerate launch` was asked for several CPU processes and started one (accelerate 1.15 does)."""
    if launcher.processes() > 1:
        return
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return
    if not any("accelerate" in word for word in words[:4]):
        return
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--num_processes", "--num-processes") and (value or following) not in ("", "1"):
            logger.warning(
                "accelerate launch was asked for %s processes and started one; on CPUs: torchrun --nproc_per_node %s",
                value or following,
                value or following,
            )


def has_bf16(device: torch.device = torch.device("cpu")) -> bool:  # noqa: B008  # never changed
    """Whether the device has arithmetic for bf16; a CPU without emulates it, many times slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # the library counts AVX512 without the instructions for bf16 in, where it is several times slower than fp32
    emulated = platform.machine() in ("x86_64", "AMD64") and not torch.cpu._is_avx512_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and not emulated


HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast computes in, by precision."""


def has(precision: str, device: torch.device) -> bool:
    """Whether the device has arithmetic for a precision; fp16 is for GPUs."""
    return has_bf16(device) if precision == "bf16" else precision != "fp16" or device.type == "cuda"


def half(device: torch.device) -> str | None:
    """The precision of 16 bits that the device has arithmetic for, bf16 before fp16; None where it has none."""
    return next((precision for precision in HALVES if has(precision, device)), None)


def refuse(precision: str, device: torch.device) -> None:
    """Raises MMTransferError for fp16 without a GPU."""
    if precision == "fp16" and not has(precision, device):
        raise MMTransferError("fp16 is for GPUs", "--precision fp16", "give --precision auto, or fp32")


def asked(precision: str) -> str:
    """What is computed in where nothing is tried."""
    return "fp32" if precision == "auto" else precision


def layout_of(model: nn.Module) -> str:
    """The layout that `lay_out` has put the weights into."""
    images = [weight for weight in model.parameters() if weight.ndim == 4]
    last = any(weight.is_contiguous(memory_format=torch.channels_last) > weight.is_contiguous() for weight in images)
    return "channels-last" if last else "contiguous"


def lay_out(model: nn.Module, layout: str) -> None:
    """Puts the weights of convolutions into a layout, contiguous or channels-last; images follow them."""
    model.to(memory_format=torch.channels_last if layout == "channels-last" else torch.contiguous_format)


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Says so where bf16 was asked for and the device has no arithmetic for it, and how much slower it is here:
    emulated, MiniLM seems to hang, and nothing else tells."""
    if precision == "bf16" and not has_bf16(device):
        logger.warning(
            "this %s has no bf16 arithmetic: a matrix product takes %.1f times as long as with --precision fp32",
            "GPU" if device.type == "cuda" else "CPU",
            emulation_factor(device),
        )


def emulation_factor(device: torch.device, size: int = 192, rounds: int = 3) -> float:
    """How many times as long as in float32 a product of bf16 matrices (size, size) takes: the fastest of some of each,
    a quarter of a second in all even where it is a hundred times."""

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        taken = []
        for _ in range(rounds + 1):  # the first one sets the library up
            begun = time.perf_counter()
            (matrix @ matrix)[0, 0].item()
            taken.append(time.perf_counter() - begun)
        return min(taken[1:])

    return seconds(torch.bfloat16) / seconds(torch.float32)


def usable(precision: str, device: torch.device) -> str:
    """What a finished run is used in: its own precision, but fp32 where that would be emulated, aloud."""
    if not has(precision, device):
        logger.warning("this device has no %s arithmetic: the run, trained in it, is used in fp32", precision)
        return "fp32"
    return asked(precision)


def arithmetic(precision: str, device: torch.device) -> str:
    """What products of the network are computed in: fp32, tf32, bf16 or fp16."""
    return "tf32" if precision == "fp32" and device.type == "cuda" else precision


@contextmanager
def forward(device: torch.device, precision: str) -> Iterator[None]:
    """The context of a forward pass: autocast to bf16 or fp16, or for fp32 TF32 where there is CUDA."""
    # weights that are cast outside of a recording would be read by it when they are old
    recording = device.type == "cuda" and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    half = HALVES.get(precision)
    casts = torch.autocast(device.type, half, enabled=half is not None, cache_enabled=not recording)
    with casts, tf32(device):
        yield


def tf32(device: torch.device) -> AbstractContextManager[None]:
    """Products of the network's float32 matrices in TF32, with CUDA."""
    return _products(device, "tf32")


def exact(device: torch.device) -> AbstractContextManager[None]:
    """Products in float32, as the exact solvers need them, whatever the program around it has set."""
    return _products(device, "ieee")


@contextmanager
def _products(device: torch.device, arithmetic: str) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = arithmetic
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
