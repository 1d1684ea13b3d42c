"""The one module that is given to `Accelerator.prepare`: the trained stages and the head."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.engine.precision import autocast
from mmtransfer.tasks.base import Outputs, Task


class Trained(nn.Module):
    """Stages from `start` on, and the head; `forward` maps the state at `start` to outputs.

    The stages before `start` are run by the engine, without gradient and outside of DDP. The backbone is a submodule
    as a whole so that `train()` passes through it and leaves frozen stages in eval mode.
    """

    def __init__(
        self, backbone: Backbone, head: nn.Module, task: Task, stages: Collection[int], precision: str
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.task, self.precision = task, precision
        self.start = min(stages, default=len(backbone.stages))

    def forward(self, state: State) -> Outputs:
        with autocast(state["x"].device, self.precision):
            return self.task.readout(self.backbone, self.head, self.backbone.run(state, self.start))

    def tensors(self, stages: Collection[int]) -> dict[str, Tensor]:
        """Parameters and buffers of these stages and of the head, by name."""
        kept = {f"stages.{stage}" for stage in stages}
        tensors = {
            f"backbone.{name}": value
            for name, value in self.backbone.state_dict().items()
            if ".".join(name.split(".")[:2]) in kept
        }
        return tensors | {f"head.{name}": value for name, value in self.head.state_dict().items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        unexpected = self.load_state_dict(tensors, strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"tensors of another model: {unexpected[:3]}")
