"""Peak memory of this process and of its accelerator."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def peak_bytes() -> int:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes() -> int | None:
    """The most accelerator memory that tensors held at once; None without an accelerator."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def free_bytes() -> int:
    """Memory that this process could have without swapping; 4 GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 4 * 2**30
