"""All that changes while training, in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mmtransfer import documents

KINDS: dict[str, documents.Form] = {
    "int": int,
    "float": float,
    "bool": bool,
    "float | None": (float, None),
    "str | None": (str, None),
    "dict[str, float]": {str: float},
    "list[bool]": [bool],
    "list[dict[str, Any]]": [{"name": str, "steps": int, "best": ({"value": (float, None)}, None)}],
}
"""By a field's annotation, what it must be where it is read back."""


@dataclass
class TrainState:
    """Position, best so far, and what a phase has done. Weights and the optimiser's moments are tensors beside it.

    Random numbers and the order of examples are pure functions of the position: nothing of them is stored.
    """

    phase: int = 0
    """Number of the phase."""
    epoch: int = 0
    """Epochs of this phase that are done."""
    step: int = 0
    """Steps of this epoch that are done."""
    epochs_done: int = 0
    """Epochs of all phases; the plan's epoch number."""
    steps_done: int = 0
    """Optimiser steps of all phases."""
    budget: int = 0
    """Micro-batch budget in force, smaller than the configured one after running out of memory."""
    best_value: float | None = None
    """Best validation value of the task's primary metric."""
    best: str | None = None
    """Folder in checkpoints/ that holds the best weights."""
    since_best: int = 0
    """Epochs of this phase since the best value improved."""
    loss_sum: float = 0.0
    """Sum of the losses since the last line of log.jsonl."""
    loss_count: float = 0.0
    """Weight of the examples in that sum: their number, unless the task weighs them."""
    seconds: float = 0.0
    """Seconds spent in training so far, over all starts of the run."""
    examples: int = 0
    """Examples trained on so far."""
    units: int = 0
    """Tokens or samples trained on so far, without padding."""
    scale: float | None = None
    """What losses were multiplied by, with fp16."""
    scale_age: int = 0
    """Steps since that scale was changed."""
    skipped: int = 0
    """Steps left out because their gradients did not fit into fp16."""
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of the run by part up to the checkpoint that holds this, over all starts."""
    stalled: float = 0.0
    """Seconds the loop waited for data."""
    alarmed: bool = False
    """Whether the task's alarm has been raised; once is enough."""
    cached: list[bool] = field(default_factory=list)
    """Of each phase begun, whether it reads stored states: a resumed run does not measure again."""
    decoded: list[bool] = field(default_factory=list)
    """Of each phase begun, whether it reads decoded examples instead of files; kept for the same reason."""
    phases: list[dict[str, Any]] = field(default_factory=list)
    """What result.json says of each phase begun."""
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`Table.ordered` of each split: a run goes on only with the data that it was started with."""

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; raises ValueError for anything else."""
        kinds = {field.name: KINDS.get(str(field.type)) for field in dataclasses.fields(self)}
        for name, value in state.items():
            if name not in kinds:
                raise ValueError(f"{name} is no part of a state")
            if kinds[name] is not None:
                documents.check(value, kinds[name], name)
            setattr(self, name, value)

    def advance(self, examples: int, weight: float, units: int) -> None:
        """Counts one optimiser step."""
        self.step += 1
        self.steps_done += 1
        self.examples += examples
        self.loss_count += weight
        self.units += units

    def improves(self, value: float, higher_is_better: bool) -> bool:
        """Whether a validation value beats the best so far; a tie does not, so the earlier epoch wins."""
        return self.best_value is None or (value > self.best_value if higher_is_better else value < self.best_value)
