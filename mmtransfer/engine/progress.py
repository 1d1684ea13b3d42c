"""What a person sees while a run goes on: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmtransfer import terminal

logger = logging.getLogger("mmtransfer")
LINE_SECONDS = 15.0
"""Seconds between two plain lines where there is no terminal."""


class Bar:
    """Counts examples of one job (an epoch, an evaluation); made by `bar`."""

    def __init__(self, label: str, total: int, progress: Progress | None, speaks: bool) -> None:
        self.label, self.total, self.done, self.speaks = label, total, 0, speaks
        self.progress = progress
        self.task = progress.add_task(label, total=total, note="") if progress else None
        self.start = self.spoken = time.monotonic()

    def advance(self, examples: int, note: str = "") -> None:
        """Adds examples; `note` stands behind the speed."""
        self.done += examples
        now = time.monotonic()
        speed = self.done / max(1e-9, now - self.start)
        text = f"{speed:.0f} examples/s {note}"
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, advance=examples, note=text)
        elif self.speaks and now - self.spoken > LINE_SECONDS:
            self.spoken = now
            left = (self.total - self.done) / max(1e-9, speed)
            logger.info("%s: %d/%d, %s, %.0f s left", self.label, self.done, self.total, text.strip(), left)


@contextmanager
def bar(label: str, total: int, speaks: bool) -> Iterator[Bar]:
    """A progress bar over `total` examples; silent where `speaks` is false (all but the main process)."""
    console = terminal.console(stderr=True)
    if not (speaks and console.is_terminal):
        yield Bar(label, total, None, speaks)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as progress:
        yield Bar(label, total, progress, speaks)
