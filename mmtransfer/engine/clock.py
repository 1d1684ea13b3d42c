"""Where the seconds of a run go, over all its starts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def process_started() -> float:
    """When this process was started, as time since the epoch; now where the system does not say."""
    try:
        # the name, in brackets, may hold anything; the start is field 22, in ticks since the machine's
        fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
        up = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time()


class Clock:
    """Seconds by part of a run.

    A part within another is not counted twice: what the cache takes while a run trains is the cache's.

    >>> clock = Clock()
    >>> with clock.part("train"), clock.part("cache"):
    ...     pass
    >>> sorted(clock.spent())
    ['cache', 'total', 'train']
    """

    def __init__(self) -> None:
        self.started = time.time()
        self.earlier: Mapping[str, float] = {}
        """Seconds by part of the starts before this one, up to the checkpoint it goes on from."""
        self._seconds: dict[str, float] = {}
        self._part: str | None = None
        self._since = time.monotonic()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts what is done under a part's name."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def spent(self) -> dict[str, float]:
        """Seconds by part so far, and `total`, with those of earlier starts."""
        self._switch(self._part)
        known = {**self._seconds, "total": time.time() - self.started}
        return {name: seconds + self.earlier.get(name, 0.0) for name, seconds in known.items()}

    def _switch(self, name: str | None) -> str | None:
        """Books the time since the last switch; returns the part that it was of."""
        now, part = time.monotonic(), self._part
        if part is not None:
            self._seconds[part] = self._seconds.get(part, 0.0) + now - self._since
        self._part, self._since = name, now
        return part
