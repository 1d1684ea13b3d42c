"""What the phases of a run share, and what each of them gives."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmtransfer.cache.settings import Cache
from mmtransfer.config import RunConfig
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.outlook import Outlook
from mmtransfer.engine.saver import Saver
from mmtransfer.engine.scaling import Scaler
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.stopping import Stop
from mmtransfer.probe import Choice
from mmtransfer.strategies import Exact
from mmtransfer.tasks.base import Records

Heads = MutableMapping[tuple[int, Exact], Choice]
"""Exact heads of one backbone and one set of data, by the stage that the features are taken behind and the solver."""
Status = Literal["finished", "stopped", "out of time"]


@dataclass(frozen=True)
class Training:
    """The circumstances of training; of them only `state` changes with each step."""

    config: RunConfig
    machine: Machine
    folder: Path
    """The run folder."""
    state: TrainState
    cache: Cache = field(default_factory=Cache)
    stop: Stop = field(default_factory=Stop)
    clock: Clock = field(default_factory=Clock)
    scaler: Scaler = field(default_factory=Scaler)
    heads: Heads | None = None
    """Where exact heads are put, and taken from by later runs on the same data; None: each run finds its own."""
    outlook: Outlook = field(default_factory=Outlook)
    """Tells how long the run takes."""
    saver: Saver = field(init=False)
    """Of the checkpoints; the main process's alone writes any."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "saver", Saver(self.folder / "checkpoints", self.config.checkpoint_minutes))

    def track(self, values: Mapping[str, float]) -> None:
        """Gives numbers at this step to the trackers, if there are any."""
        self.machine.accelerator.log(dict(values), step=self.state.steps_done)


@dataclass(frozen=True)
class Outcome:
    """What a phase has made of a model."""

    model: Model
    splits: Splits
    """With the states that the phase read, where it read any."""
    status: Status = "finished"
    """`stopped` after a signal, with a checkpoint to go on from; `out of time` where --max-minutes ended it."""
    best: Mapping[str, Any] | None = None
    """Epoch and value of the best validation score; None where there was none."""
    seconds: float = 0.0
    """Spent in training and validation, over all starts of the run."""
    records: Records | None = None
    """Validation records of the model that was chosen, where the one that is left has seen those examples."""
