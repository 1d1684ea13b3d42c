"""Peak memory of this process and of its accelerator."""

from __future__ import annotations

import resource
import sys

import torch


def peak_bytes() -> int:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes() -> int | None:
    """The most accelerator memory that tensors held at once; None without an accelerator."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
