"""The one module that is given to `Accelerator.prepare`: the trained stages and the head."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.engine.precision import autocast
from mmtransfer.tasks.base import Outputs
from mmtransfer.tasks.task import Task


class Trained(nn.Module):
    """Stages from `start` on, and the head; `forward` maps the state at `start` to outputs.

    The stages before `start` are run by the engine (`reach`), without gradient and outside of DDP, or their states are
    read from a cache. What the task takes from the last stage that is run, such as pooled features, counts as one more
    stage, so `start` is `end` where only the head trains. The backbone is a submodule as a whole so that `train()`
    passes through it and leaves frozen stages in eval mode.
    """

    def __init__(
        self, backbone: Backbone, head: nn.Module, task: Task, stages: Collection[int], precision: str
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.task, self.precision = task, precision
        self.end = backbone.depth + 1
        self.start = min(stages, default=self.end)

    def reach(self, state: State, start: int, stop: int) -> State:
        """The state at `stop` from that at `start`."""
        with autocast(state["x"].device, self.precision):
            if start < self.end - 1:
                state = self.backbone.run(state, start, min(stop, self.end - 1))
            return self.task.features(self.backbone, state) if start < self.end <= stop else state

    def forward(self, state: State) -> Outputs:
        with autocast(state["x"].device, self.precision):
            return self.task.readout(self.head, self.reach(state, self.start, self.end))

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
