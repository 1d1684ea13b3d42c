"""Programs in processes of their own, forked from one that has imported the libraries, which takes six seconds.

What the interpreter or a launcher does at the start and at the end of a program is not tested this way, nor variables
that libraries read when they are imported: tests of that start one.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["mmtransfer.fitting", "mmtransfer.cli"])


class Program:
    """A script by its path and its words, or `-m mmtransfer` and its words; `variables`: more in its environment."""

    def __init__(self, *words: str, **variables: str) -> None:
        descriptor, name = tempfile.mkstemp()
        os.close(descriptor)
        self._said = Path(name)
        self._process = _forks.Process(target=_run, args=(words, {**os.environ, **variables}, name))
        self._process.start()
        atexit.register(self._process.kill)  # else the end of the tests would wait for one that a failed test has left

    @property
    def status(self) -> int | None:
        """As of `subprocess.Popen.returncode`: of a signal its number, negative; None while it runs."""
        return self._process.exitcode

    def signal(self, number: int) -> None:
        """Sends it a signal, if it runs."""
        if self.status is None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(self._process.pid, number)

    def wait(self, seconds: float = 300) -> str:
        """Waits for its end; returns what it printed and said."""
        self._process.join(seconds)
        ended = self.status is not None
        self._process.kill()
        self._process.join()
        atexit.unregister(self._process.kill)
        said = self._said.read_text()
        self._said.unlink()
        if not ended:
            raise TimeoutError(said)
        return said

    def end(self, seconds: float = 300) -> str:
        """Waits for its end, which has to be a good one."""
        said = self.wait(seconds)
        assert self.status == 0, said[-3000:]
        return said


def together(processes: int, *words: str, **variables: str) -> list[Program]:
    """So many processes of one program that know of each other, begun as torchrun begins them."""
    if processes == 1:
        return [Program(*words, **variables)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    shared |= {"LOCAL_WORLD_SIZE": str(processes), **variables}
    return [Program(*words, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(processes)]


def end_all(programs: Sequence[Program], seconds: float = 300) -> None:
    """Waits for the end of all, which have to be good ones; where one fails those that wait for it are killed."""
    last = time.monotonic() + seconds
    while any(program.status is None for program in programs) and time.monotonic() < last:
        if any(program.status for program in programs):
            break
        time.sleep(0.02)
    for program in programs:
        program.signal(signal.SIGKILL)
    said = [program.wait() for program in programs]
    assert all(program.status == 0 for program in programs), "\n".join(part[-3000:] for part in said)


def _run(words: Sequence[str], variables: Mapping[str, str], said: str) -> None:
    """In the new process."""
    os.environ.clear()
    os.environ.update(variables)
    descriptor = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if words[:2] == ("-m", "mmtransfer"):
        from mmtransfer.cli import main

        sys.argv = ["mmtransfer", *words[2:]]
        main(list(words[2:]))
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
