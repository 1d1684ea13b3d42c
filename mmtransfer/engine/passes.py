"""How micro-batches go through the trained part of a model: as they are, or as recorded launches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.config import RunConfig
from mmtransfer.engine.graphs import SEEN, Graphs, Recorder
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.vocabulary import WordRows
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Outputs

logger = logging.getLogger("mmtransfer")


@dataclass(frozen=True)
class Passes:
    """The way forward of a phase, and the gradients that the way back leaves."""

    prepared: nn.Module
    """What Accelerate made of the model."""
    model: Model
    """What it wraps."""
    parameters: list[nn.Parameter]
    """Those that train."""
    graphs: Graphs | None = None
    """None where nothing is recorded."""
    why_not: str = ""
    """Why nothing is recorded though a CUDA device might and --graphs auto would; empty where there is no such reason,
    and where recording was given up before."""

    @classmethod
    def of(
        cls,
        config: RunConfig,
        machine: Machine,
        prepared: nn.Module,
        given_up: str | None = None,
        rows: WordRows | None = None,
    ) -> Passes:
        """As --graphs asks for, but not where it was `given_up` before; raises MMTransferError for `on` where nothing
        can be recorded. `rows`: what trains in the place of a table of embeddings."""
        # looked up once: walking all modules of a frozen backbone costs more than a step of its head
        model: Model = machine.accelerator.unwrap_model(prepared)
        parameters = [parameter for parameter in prepared.parameters() if parameter.requires_grad]
        if rows is not None:
            parameters = [rows.trained if one is rows.table.weight else one for one in parameters]
        why_not = given_up or refusal(config, machine, model.backbone, model.start)
        if why_not and config.graphs == "on":
            raise MMTransferError(f"The steps cannot be recorded: {why_not}", "--graphs on", "leave it out")
        surprising = "" if given_up or config.graphs == "off" or machine.device.type != "cuda" else why_not
        graphs = None
        if not why_not:
            graphs = Graphs(model, machine, parameters, Recorder(machine.device), forced=config.graphs == "on")
        return cls(prepared, model, parameters, graphs, surprising)

    @property
    def unrecorded(self) -> int:
        """First micro-batches of a shape, in the last of which it is recorded; 0 where nothing is."""
        return 0 if self.graphs is None else SEEN + 1

    def tell(self, entry: dict[str, Any]) -> None:
        """Says why nothing is recorded, where that is to be said, and writes it into what result.json says of the
        phase."""
        if self.why_not:
            logger.info("steps run as they are, not recorded: %s", self.why_not)
            entry["graphs"] = {"why_not": self.why_not}

    def __call__(self, reached: State, seed: int) -> Outputs:
        """Outputs for what the trained stages read; `seed`: of dropout, set already."""
        return self.prepared(reached) if self.graphs is None else self.graphs(reached, seed)

    def clear(self) -> None:
        """Forgets the gradients, or sets them to 0 where recorded passes write into them."""
        if self.graphs is not None and self.graphs.recorded:
            torch._foreach_zero_([parameter.grad for parameter in self.parameters if parameter.grad is not None])
            return
        for parameter in self.parameters:
            parameter.grad = None

    def release(self) -> bool:
        """Gives back the memory of gradients and of recorded passes; returns whether recording is given up because of
        it. With --graphs on it is not: smaller micro-batches are recorded anew."""
        held = self.graphs is not None and bool(self.graphs.recorded)
        if self.graphs is not None:
            self.graphs.drop("" if self.graphs.forced else "out of memory")
        self.clear()
        return held and self.graphs is not None and not self.graphs.forced


def ended(entry: Mapping[str, Any]) -> str | None:
    """What ended the recording of a phase that goes on, from what result.json says of it; not why none began, which may
    have changed."""
    known = entry.get("graphs", {})
    return known.get("why_not") if "shapes" in known else None


def refusal(config: RunConfig, machine: Machine, backbone: Backbone, start: int = 0) -> str:
    """Why no passes of this backbone, from stage `start` on, are recorded on this machine; empty where they may be."""
    if config.graphs == "off":
        return "--graphs off"
    if machine.device.type != "cuda":
        return "only a CUDA device can record what it is to launch"
    if not backbone.recordable and start < backbone.depth:
        return f"passes of {backbone.name} depend on lengths that the host reads"
    if config.graphs == "auto" and config.deterministic:
        return "--deterministic"  # a resumed run would record other micro-batches than this one
    return "several processes reduce gradients between their passes" if machine.processes > 1 else ""
