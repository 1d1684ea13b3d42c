"""What a run computes on: its processes, their device and threads, and the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mmtransfer import launcher
from mmtransfer.config import RunConfig
from mmtransfer.engine import precision
from mmtransfer.engine.shortage import Parts
from mmtransfer.engine.workers import Workers

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Machine:
    """Made once, and told aloud."""

    accelerator: Accelerator
    """This process among the others."""
    threads: int
    """CPU threads of this process."""
    workers: Workers
    """Processes that decode ahead."""
    precision: str
    """Arithmetic of the forward pass: fp32, bf16 or fp16."""
    allocator: str = "default"
    """What was set of the memory allocator."""
    layout: str = "contiguous"
    """How images lie in memory: contiguous or channels-last."""
    tried: Mapping[str, Any] = field(default_factory=dict)
    """What was tried of precision and layout, with seconds of a step and agreement."""
    parts: Parts = field(default_factory=Parts)
    """What memory has been found to hold of a pass without gradient."""

    @classmethod
    def set_up(cls, config: RunConfig, accelerator: Accelerator) -> Machine:
        """As a run's settings have it: threads and allocator are set, and what will be slow is said."""
        threads = precision.set_threads(config.threads, launcher.local_processes())
        allocator = precision.tune_allocator()
        precision.warn_of_lone_process()
        precision.refuse(config.precision, accelerator.device)
        precision.warn_of_emulation(config.precision, accelerator.device)
        workers = Workers(config.workers, threads, accelerator.device)
        return cls(accelerator, threads, workers, precision.asked(config.precision), allocator)

    @classmethod
    def as_it_is(cls, config: RunConfig, accelerator: Accelerator) -> Machine:
        """For what is done without a run: threads and allocator stay as the calling program has them."""
        threads = torch.get_num_threads()
        workers = Workers(config.workers, threads, accelerator.device)
        return cls(accelerator, threads, workers, precision.asked(config.precision))

    def seed(self, number: int) -> None:
        """Seeds torch's generators, those that are here: torch.manual_seed notes a stack trace for each kind of
        accelerator that is not, 1 ms in all."""
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(number)

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
