"""The time that is left, and what has to be kept of it for the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

MARGIN = 1.1
"""Over what is predicted from measured costs."""
WORTH = 0.25
"""Of the rest of a schedule, what the time must be enough for to go on with it."""
EXIT = 1.5
"""Seconds for the end of the process, and for what nobody foresees."""


@dataclass
class Budget:
    """Seconds from `started` (time since the epoch), of which `spent` were spent in earlier starts.

    `reserve`: what choosing, scoring and saving the best model so far are expected to take.
    """

    started: float
    seconds: float
    spent: float = 0.0
    reserve: float = EXIT

    @property
    def elapsed(self) -> float:
        """Seconds of all starts."""
        return time.time() - self.started + self.spent

    @property
    def left(self) -> float:
        """Seconds for trying things; the reserve is not among them."""
        return self.seconds - self.elapsed - self.reserve

    def left_keeping(self, seconds: float) -> float:
        """Seconds for trying things if so many, and a margin, are kept for the end at least."""
        return self.left + self.reserve - max(self.reserve, seconds * MARGIN + EXIT)

    @property
    def deadline(self) -> float:
        """Until when things may be tried, as time since the epoch."""
        return time.time() + self.left

    def reserved(self, seconds: float) -> None:
        """Keeps so many seconds for the end, and a margin."""
        self.reserve = seconds * MARGIN + EXIT

    def allows(self, seconds: float) -> bool:
        """Whether something of so many seconds, and a margin, can be tried."""
        return seconds * MARGIN <= self.left


def spoken(seconds: float) -> str:
    """Minutes and seconds, as a clock shows them.

    >>> spoken(192.4)
    '3:12'
    """
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
