"""How long a run takes in all, told once, when its first steps have shown how fast it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmtransfer.strategies import Loop, Phase

if TYPE_CHECKING:
    from mmtransfer.engine.clock import Clock
    from mmtransfer.engine.splits import Splits

logger = logging.getLogger("mmtransfer")
FIRST = 5
"""Steps, or batches of a pass through frozen stages, after which it is told; of fewer steps, the last of them."""
FORWARD = 1 / 3
"""Time that scoring an example takes, over that of training on it: a pass forward, of three that a step takes."""


@dataclass
class Outlook:
    """Counts the first steps. It speaks once; what is not planned, such as features that a search computes, says
    nothing."""

    clock: Clock | None = None
    budget: float | None = None
    """Seconds that the run may take, of --max-minutes."""
    steps: int = 0
    """Those of all phases."""
    scored: int = 0
    """Examples that are scored while it trains, and at its end."""
    passes: int = 0
    """Examples that pass the frozen stages, where a run is nothing but that."""
    recording: int = 0
    """First steps that do not count, because passes are recorded in them."""
    _told: bool = False
    _counted: int = 0
    _first: int = 0
    _begun: float = 0.0

    def plan(
        self, clock: Clock, minutes: float | None, splits: Splits, phases: Sequence[Phase], steps_per_epoch: int
    ) -> None:
        """Takes what is ahead of a run. `minutes`: its budget."""
        self.clock, self.budget = clock, None if minutes is None else 60 * minutes
        sizes: Mapping[str, int] = {name: len(examples) for name, examples in splits.by_name().items()}
        epochs = sum(phase.epochs for phase in phases)
        if any(isinstance(phase.solver, Loop) for phase in phases):
            self.steps = epochs * steps_per_epoch
            self.scored = (epochs + 1) * sizes.get("validation", 0) + sizes.get("test", 0)
        else:
            self.passes = sum(sizes.values())

    def after_step(self, done: int, examples: int) -> None:
        """Tells the time in all, if it is time. `done`: steps so far, over all starts; `examples`: those of a step."""
        if self._counts(self.steps):
            step = (time.monotonic() - self._begun) / (self._counted - self._first)
            self._tell(step * (self.steps - done) + FORWARD * step / max(1, examples) * self.scored)

    def after_batch(self, passed: int, seconds: float) -> None:
        """The same, of a pass through frozen stages. `passed`: examples so far, in so many seconds."""
        if self._counts(self.passes):
            self._tell(seconds / max(1, passed) * (self.passes - passed))

    def _counts(self, planned: int) -> bool:
        """Counts a step; whether it is the one to speak after. The first one alone does not tell: it warms up."""
        last = max(2, min(FIRST + self.recording, planned))
        if not planned or self._told or self._counted >= last:
            return False
        self._counted += 1
        if self._counted <= max(1, min(1 + self.recording, last - 1)):
            self._first, self._begun = self._counted, time.monotonic()
        return self._counted == last

    def _tell(self, left: float) -> None:
        assert self.clock is not None
        self._told = True
        total = self.clock.spent()["total"] + left
        over = self.budget is not None and total > self.budget
        logger.info("about %s in all%s", spoken(min(total, self.budget or total)), ", by --max-minutes" if over else "")


def spoken(seconds: float) -> str:
    """A time as one says it.

    >>> spoken(41.3), spoken(160), spoken(11_000)
    ('41 seconds', '3 minutes', '3.1 hours')
    """
    if seconds < 91:
        return f"{max(1, round(seconds))} second{'' if seconds < 1.5 else 's'}"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
