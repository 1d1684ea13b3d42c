"""What a run computes on: its processes, their device and threads, and the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from mmtransfer import launcher
from mmtransfer.config import RunConfig
from mmtransfer.engine import precision
from mmtransfer.engine.shortage import Passes


@dataclass(frozen=True)
class Machine:
    """Made once, and told aloud."""

    accelerator: Accelerator
    """This process among the others."""
    threads: int
    """CPU threads of this process."""
    workers: int
    """Processes that decode ahead."""
    precision: str
    """Arithmetic of the forward pass, fp32 or bf16."""
    allocator: str = "default"
    """What was set of the memory allocator."""
    layout: str = "contiguous"
    """How images lie in memory: contiguous or channels-last."""
    tried: Mapping[str, Any] = field(default_factory=dict)
    """What was tried of precision and layout, with seconds of a step and agreement."""
    passes: Passes = field(default_factory=Passes)
    """What memory has been found to hold of a pass without gradient."""

    @classmethod
    def set_up(cls, config: RunConfig, accelerator: Accelerator) -> Machine:
        """As a run's settings have it: threads and allocator are set, and what will be slow is said."""
        threads = precision.set_threads(config.threads, launcher.local_processes())
        allocator = precision.tune_allocator()
        precision.warn_of_lone_process()
        precision.warn_of_emulation(config.precision, accelerator.device)
        return cls(accelerator, threads, config.workers, precision.asked(config.precision), allocator)

    @classmethod
    def as_it_is(cls, config: RunConfig, accelerator: Accelerator) -> Machine:
        """For what is done without a run: threads and allocator stay as the calling program has them."""
        return cls(accelerator, torch.get_num_threads(), config.workers, precision.asked(config.precision))

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process speaks and writes for all."""
        return bool(self.accelerator.is_main_process)

    @property
    def processes(self) -> int:
        return int(self.accelerator.num_processes)

    def chosen(self) -> dict[str, Any]:
        """The settings that are decided by now, as config.json has them."""
        return {"precision": self.precision, "layout": self.layout}

    def about(self) -> dict[str, Any]:
        """What result.json says of the arithmetic."""
        return {"dtype": self.precision, "layout": self.layout, "allocator": self.allocator, "tried": dict(self.tried)}
