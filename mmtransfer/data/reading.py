"""What reading of data may keep on disk, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

TABLES = "tables"
"""Below the memory, the folder of tables that were unpacked, a folder each."""
Advance = Callable[[int], None]
"""Is told how many more examples are done."""


@contextmanager
def silent(label: str, total: int) -> Iterator[Advance]:
    """Shows nothing."""
    yield lambda done: None


@dataclass(frozen=True)
class Reading:
    """How the data of a run are read: each file once, and of what that has told nothing twice."""

    memory: Path | None = None
    """The folder that remembers what files hold, and keeps tables whose pictures or recordings are compressed; None:
    nothing is kept."""
    room: Callable[[], float] = lambda: float("inf")
    """Bytes that may be added to the folder, at this moment."""
    show: Callable[[str, int], AbstractContextManager[Advance]] = silent
    """Shows how far a pass over so many examples is; its first argument says which pass."""
    split: str = "the data"
    """What is read, for `show`."""
