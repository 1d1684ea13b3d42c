"""What frozen stages cost with stored states and without, measured on a micro-batch of the very run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmtransfer.backbones.staged import State
from mmtransfer.cache import features as shards
from mmtransfer.data.plan import Plan
from mmtransfer.engine.evaluation import in_parts
from mmtransfer.engine.states import States, joined, kept
from mmtransfer.tasks.base import Batch

WARM_UP = 8
"""Before the micro-batch that is timed, this part of it is run untimed: the first pass pays for choosing kernels. One
batch is enough: an error in the seconds of a pass moves both estimates alike, and three cost a short run a twentieth.
"""


@dataclass(frozen=True)
class Costs:
    """Seconds per unit of length: encoding, frozen stages, writing their states, reading them."""

    load: float
    prefix: float
    write: float
    read: float

    def totals(self, units: Mapping[str, float], missing: set[str], epochs: int) -> tuple[float, float]:
        """Expected seconds (with stored states, without) until the trained stages have what they need in `epochs`
        epochs, each with its validation, and in scoring validation and test at the end. What those stages then do
        with it takes as long either way.

        `units`: summed lengths of each split; `missing`: splits that are not stored yet.
        """
        train, validation = units["train"], units.get("validation", 0.0)
        seen = epochs * train + (epochs + 1) * validation + units.get("test", 0.0)
        whole = self.load + self.prefix
        build = (whole + self.write) * sum(units[name] for name in missing)
        return build + seen * self.read, seen * whole


def measure(states: States, plan: Plan, folder: Path) -> Costs:
    """Times the frozen part of a micro-batch of the run, and keeping its states in `folder`.

    `states`: of the training examples, which `plan` makes steps of. Random numbers are as before afterwards. OSError
    where nothing can be written.
    """
    model, examples, machine = states.model, states.examples, states.machine
    epoch = plan.epoch(0)
    timed = epoch.micro_batches(len(epoch) // 2)[0]
    batches = [timed[::WARM_UP], timed]

    @torch.no_grad()
    def reached(part: Batch) -> State:
        return model.reach(part.state, 0, states.cut)

    with torch.random.fork_rng():  # starting a DataLoader draws a random number
        loaded = iter(examples.batches(model.task, [batch.tolist() for batch in batches], 0, False, plan.seed, 0))
        for _ in batches:
            clock = _Clock(machine.device)
            batch = next(loaded).to(machine.device)
            clock.lap("load")
            parts = in_parts(model, machine, batch, int(examples.lengths[timed].max()), reached)
            clock.lap("prefix")
    write, read = _storing(states.cut, joined([kept(part) for part in parts]), folder)
    units = float(examples.lengths[timed].sum())
    load, prefix = clock.laps["load"] / max(1, machine.workers.count), clock.laps["prefix"]
    return Costs(load / units, prefix / units, write / units, read / units)


def _storing(cut: int, state: State, folder: Path) -> tuple[float, float]:
    """Seconds to write the states of a micro-batch and to read them back."""
    rows = np.arange(len(state["x"]))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        partial, final = Path(place) / "partial", Path(place) / "final"
        partial.mkdir()
        clock = _Clock(torch.device("cpu"))
        for _ in shards.build(partial, final, [[rows]], {}, lambda b: iter([(rows, state)]), {}):
            pass
        clock.lap("write")
        found = shards.open_states(final, cut, len(rows), 0)
        clock.lap("open")
        found.state(rows.tolist())
        clock.lap("read")
    return clock.laps["write"], clock.laps["read"]


class _Clock:
    """Seconds between laps, an accelerator's queue included."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.laps = device, dict[str, float]()
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.laps[name], self.last = now - self.last, now
