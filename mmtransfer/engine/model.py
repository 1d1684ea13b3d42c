"""The one module that is given to `Accelerator.prepare`: the trained stages and the head."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.engine.precision import forward
from mmtransfer.strategies import Phase, Selection
from mmtransfer.tasks.base import Outputs
from mmtransfer.tasks.task import Task


class Model(nn.Module):
    """A backbone and a head for a task; `forward` maps the state behind `start` stages to outputs.

    The stages before `start` are run by the engine (`reach`), without gradient and outside of DDP, or their states are
    read from a cache. What is read out of the last stage that is run, such as pooled features, counts as one more
    stage, so `start` is `end` where only the head trains. The backbone is a submodule as a whole so that `train()`
    passes through it and leaves frozen stages in eval mode.

    Args:
        backbone: all stages; `depth` of them are run.
        head: reads what the task reads of the last stage.
        task: what outputs mean.
        precision: of the forward pass: fp32, bf16 or fp16.
        start: stages that are behind the input of `forward`; all of them and the readout if None.
        pooled: whether one vector an example is read out even where the task's heads read frames.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        task: Task,
        precision: str,
        start: int | None = None,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.task, self.precision, self.pooled = task, precision, pooled
        self.end = backbone.depth + 1
        self.start = self.end if start is None else start

    def starting(self, trains: Selection = Selection()) -> Model:  # noqa: B008  # frozen
        """The same tensors, for training these: stages before the first with a trained one are behind the input."""
        stages = (int(name.split(".")[1]) for name in self.backbone.selected(trains.stages, trains.part))
        start = min(stages, default=self.end)
        return Model(self.backbone, self.head, self.task, self.precision, start, pooled=self.pooled)

    def with_head(self, head: nn.Module) -> Model:
        """The same backbone, as deep as it is run now, with another head."""
        return Model(self.backbone, head, self.task, self.precision, pooled=self.pooled)

    @property
    def reads(self) -> str:
        """What is read out of the last stage, in words, such as `pooled mean`."""
        return f"{'pooled' if self.pooled else self.task.target.reads} {self.backbone.pooling}".strip()

    def reach(self, state: State, start: int, stop: int) -> State:
        """The state at `stop` from that at `start`, 0: encoded examples."""
        with forward(state["x"].device, self.precision):
            if start == 0 < stop:
                state = self.task.input.on_device(state)
            if start < self.end - 1:
                state = self.backbone.run(state, start, min(stop, self.end - 1))
            return self._read_out(state) if start < self.end <= stop else state

    def _read_out(self, state: State) -> State:
        return {"x": self.backbone.pool(state)} if self.pooled else self.task.features(self.backbone, state)

    def forward(self, state: State) -> Outputs:
        with forward(state["x"].device, self.precision):
            outputs = self.task.readout(self.head, self.reach(state, self.start, self.end))
        # a scaled loss, and its gradient, would not fit into fp16
        return {name: value.float() if value.dtype == torch.float16 else value for name, value in outputs.items()}

    def tensors(self, trained: Collection[str]) -> dict[str, Tensor]:
        """The head, and the tensors of the backbone with these names."""
        state = self.backbone.state_dict()
        tensors = {f"backbone.{name}": value for name, value in state.items() if name in trained}
        return tensors | {f"head.{name}": value for name, value in self.head.state_dict().items()}

    def trained(self, phases: Sequence[Phase]) -> frozenset[str]:
        """Names of the backbone's tensors that any of the phases changes: what checkpoints hold of it."""
        parts = (self.backbone.selected(phase.trains.stages, phase.trains.part) for phase in phases)
        return frozenset(name for names in parts for name in names)

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        unexpected = self.load_state_dict(tensors, strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"tensors of another model: {unexpected[:3]}")
