"""Memory of this process and of its accelerator: the most that was used, and what is free."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"
"""What sets Linux's record of the largest resident size to the present one (man 5 proc)."""


def reset() -> None:
    """Forgets the peaks so far, where the system can: each fit of a process tells its own."""
    with suppress(OSError):
        REFERENCES.write_text(PEAK)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """The largest resident size of this process since `reset`; since its start where the system has no more to say."""
    with suppress(OSError, StopIteration, ValueError):
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes() -> int | None:
    """The most accelerator memory that tensors held at once since `reset`; None without an accelerator."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def free_bytes() -> int:
    """Memory that this process could have without swapping; 4 GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 4 * 2**30


@dataclass(frozen=True)
class DeviceMemory:
    """What a budget is made from: the memory of a GPU."""

    device: torch.device

    def free(self) -> int:
        """Bytes that tensors could still have: what no program has, and what this one's allocator keeps unused."""
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(torch.cuda.mem_get_info(self.device)[0]) + kept

    def start(self) -> None:
        """Begins to watch."""
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)

    def taken(self) -> int:
        """The most bytes of tensors at once since `start`."""
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device)

    def held(self) -> int:
        """Bytes of the tensors there are now."""
        return torch.cuda.memory_allocated(self.device)


def of(device: torch.device) -> DeviceMemory | None:
    """The memory of a device that tells; None of a CPU, whose budgets are fixed."""
    return DeviceMemory(device) if device.type == "cuda" else None
