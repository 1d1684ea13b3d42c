"""One run at a time in a folder: lock.json says which process is at work there, and is gone when it has ended.

A process that was killed leaves its lock behind: who comes next sees that the process is gone, says so, and takes the
lock over. What runs on another machine cannot be asked; it shows that it lives by the time stamp of its lock.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtransfer import disk, documents
from mmtransfer.documents import PROGRAM
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
NAME = "lock.json"
SCHEMA = 1
FORM = {"program": str, "schema": int, "pid": int, "host": str, "start": str, "began": (str, None)}
BEAT_SECONDS = 30.0
"""Between two time stamps."""
SILENT_SECONDS = 600.0
"""A lock of another machine, or one that cannot be read, is stale when it has had no time stamp for so long."""


@dataclass
class Lock:
    """The lock of a run folder, or of a folder of repeated runs; the folder must be there when it is acquired."""

    folder: Path
    held: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def acquire(self) -> None:
        """Takes the lock; a stale one is taken over aloud. Raises MMTransferError if another process is at work."""
        if self.held:
            return
        with disk.writing(self.path), _alone(self.folder):
            stale = refuse(self.folder)
            if stale is not None:
                logger.warning("taking over the lock of %s: %s has ended without removing it", self.folder, stale)
            _write(self.path)
        self.held = True
        threading.Thread(target=self._beat, daemon=True).start()

    def release(self) -> None:
        """Removes the lock if it is this process's."""
        self._ended.set()
        with suppress(OSError, ValueError):
            if self.held and _is_ours(documents.read_json(self.path, FORM)):
                self.path.unlink()
        self.held = False

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self.path)


def refuse(folder: Path) -> str | None:
    """Raises MMTransferError if a process is at work in a folder; returns who has left a stale lock there, if any."""
    path = folder / NAME
    try:
        age = time.time() - path.stat().st_mtime
        found = documents.read_json(path, FORM)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        found, who = {}, "a process that cannot be told"
    else:
        who = f"process {found['pid']} on {found['host']} (since {found['start']})"
    if _lives(found, age):
        end = "wait until it has ended, or stop it"
        if found.get("host") != socket.gethostname():
            end += f"; if it was killed, remove {path}, or wait {SILENT_SECONDS / 60:.0f} minutes"
        raise MMTransferError(f"Another run is at work in the folder: {who}", str(folder), end)
    return who


def _lives(found: Mapping[str, Any], age: float) -> bool:
    if found.get("host") != socket.gethostname():
        return age < SILENT_SECONDS
    began = _began(found["pid"])
    return began is not None and (not began or found["began"] in (None, began))


def _write(path: Path) -> None:
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    own = {"program": PROGRAM, "schema": SCHEMA, "pid": os.getpid(), "host": socket.gethostname(), "start": start}
    documents.write(path, own | {"began": _began(os.getpid()) or None})


def _is_ours(found: Mapping[str, Any]) -> bool:
    return (found["pid"], found["host"]) == (os.getpid(), socket.gethostname())


def _began(pid: int) -> str | None:
    """When a process of this machine began, in a form that tells it from a later one with the same number; empty where
    the system does not tell; None if there is no such process."""
    if pid < 1:
        return None
    try:
        # the name, in brackets, may hold spaces and brackets
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        if Path("/proc/self/stat").exists():
            return None
    else:
        return None if state in "ZX" else fields[18]  # a zombie has ended
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it is there, and somebody else's
        pass
    return ""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of several processes that look at a lock at once, one after the other; all at once where there are no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
