"""Signals that end a run between two micro-batches instead of in the middle of one."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger("mmtransfer")


@contextmanager
def collected() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; a second one ends the process as usual."""
    received: list[int] = []

    def note(signum: int, _: Any) -> None:
        received.append(signum)
        for one, handler in before.items():
            signal.signal(one, handler)
        logger.warning("%s: stopping after this micro-batch, with a checkpoint", signal.Signals(signum).name)

    before: dict[signal.Signals, Any] = {}
    try:
        for one in (signal.SIGINT, signal.SIGTERM):
            before[one] = signal.signal(one, note)
    except ValueError:  # not the main thread: signals are somebody else's
        before = {}
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; `command` goes on with it."""

    def __init__(self, signum: int, command: str, folder: Path) -> None:
        super().__init__(f"stopped; go on with: {command}")
        self.signum, self.command, self.folder = signum, command, folder
