"""The tasks, by name: which input and which targets each has stands in `config.TASKS`.

>>> list(TASKS)
['image-classification', 'text-classification', 'speech-recognition', 'audio-classification', 'token-classification']
>>> TASKS["text-classification"].modality, TASKS["text-classification"].targets
('text', ('single-label', 'multi-label', 'regression'))
"""

from __future__ import annotations

from dataclasses import dataclass

from mmtransfer import config as configuration
from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import RunConfig, choices
from mmtransfer.registry import Registry
from mmtransfer.tasks.base import Batch, Encoded, Prediction, Predictions, Problem, collate
from mmtransfer.tasks.inputs import INPUTS, Input
from mmtransfer.tasks.targets import TARGETS, Target
from mmtransfer.tasks.task import Task


@dataclass(frozen=True)
class Definition:
    """A row of the table of tasks: what makes the task of a run."""

    name: str
    input: type[Input]
    targets: tuple[str, ...]
    """Names of targets, the first is the default."""

    @property
    def modality(self) -> str:
        """The kind of backbone that the task needs."""
        return self.input.modality

    def target(self, config: RunConfig) -> type[Target]:
        """The target that a configuration names."""
        # what is not in the table has been checked: it is of another package, or the default where there is no choice
        chosen = config.target in self.targets or (len(self.targets) > 1 and config.target in choices("target"))
        return TARGETS[config.target if chosen else self.targets[0]]

    def exact(self, config: RunConfig) -> Problem | None:
        """What the targets are to a solver that finds a linear head exactly; None where there is no such solver."""
        return self.target(config).problem if config.head == "linear" else None

    def make(self, config: RunConfig, backbone: Backbone) -> Task:
        """The task of a run; raises MMTransferError for settings that the backbone does not allow."""
        kind = self.target(config)
        input = self.input(config, backbone, kind.reads)
        return Task(self.name, input, kind(input.config, backbone.source))


TASKS: Registry[Definition] = Registry("task", "task")
for _name, _parts in configuration.TASKS.items():
    TASKS.add(_name, Definition(_name, INPUTS[_parts.input], _parts.targets))


def of_modality(modality: str) -> str:
    """The first task whose input a kind of backbone reads."""
    return next(name for name in TASKS if TASKS[name].modality == modality)


__all__ = [
    "INPUTS",
    "TARGETS",
    "TASKS",
    "Batch",
    "Definition",
    "Encoded",
    "Input",
    "Prediction",
    "Predictions",
    "Target",
    "Task",
    "collate",
    "of_modality",
]
