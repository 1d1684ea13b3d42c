"""Forks a process a case, a few at a time, and counts what comes of them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from benchmarks.fuzz import cases, corpus

PAGE = Path(__file__).parents[1] / "results" / "fuzz.json"

IMPORTED = (
    "mmtransfer.api",
    "mmtransfer.comparison",
    "mmtransfer.embedding",
    "soundfile",
    "transformers.models.bert.modeling_bert",
    "transformers.models.wav2vec2.modeling_wav2vec2",
)


@dataclass
class Process:
    """A case under way."""

    pid: int
    folder: Path
    kind: str
    since: float


def prepare(folder: Path, kinds: Collection[str]) -> None:
    """Makes the corpus, and imports all that a case may need, so that forks need not."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MMTRANSFER_CACHE"] = str(folder / "cache")
    import torch

    torch.set_num_threads(1)
    for name in IMPORTED:
        import_module(name)
    corpus.build(folder, kinds, isolated)


def isolated(action: Callable[[], None]) -> None:
    """Calls a function in a forked process; RuntimeError if it fails."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            _leave(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the corpus could not be made")


def _leave(status: int) -> None:
    """Ends a fork at once: what its parent registered for the end is its parent's."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def drive(given: argparse.Namespace) -> int:
    """Runs cases until the time is over; 1 if any of them was bad."""
    keep = given.keep.resolve()
    place = keep / "corpus"
    prepare(place, given.kind)
    items = {kind: corpus.items(place, kind) for kind in given.kind}
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in given.kind}
    numbers: Iterator[tuple[str, int]] = ((kind, n) for n in range(10**9) for kind in given.kind)
    running: list[Process] = []
    bad: list[str] = []
    begin, started = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        while running or not _over(given, begin, started):
            while len(running) < given.jobs and not _over(given, begin, started):
                kind, number = next(numbers)
                folder = Path(scratch, f"{kind}-{given.seed}-{number}")
                running.append(_start(folder, place, items[kind], given.seed, number))
                started += 1
            for process in list(running):
                ended, status = _ended(process, given.seconds)
                if ended:
                    running.remove(process)
                    result = _settle(process, status, keep)
                    counts[process.kind][result] += 1
                    if result not in cases.GOOD:
                        bad.append(f"{result}: {keep / process.folder.name}")
                        print(bad[-1], flush=True)
            time.sleep(0.005)
    _tell(given, counts, (time.monotonic() - begin) / 60)
    return 1 if bad else 0


def _over(given: argparse.Namespace, begin: float, started: int) -> bool:
    return time.monotonic() - begin > 60 * given.minutes or (given.cases is not None and started >= given.cases)


def _start(folder: Path, place: Path, items: list[corpus.Item], seed: int, number: int) -> Process:
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        os.setsid()  # so that what it starts can be ended with it
        status = cases.BROKEN
        try:
            status = cases.child(folder, place, items, seed, number)
        finally:
            os._exit(status)
    return Process(pid, folder, items[0].kind, time.monotonic())


def _ended(process: Process, seconds: float) -> tuple[bool, int | None]:
    """Whether a case has ended, and its status: negative for a signal, None if it was stopped for its time."""
    pid, status = os.waitpid(process.pid, os.WNOHANG)
    if pid:
        return True, os.waitstatus_to_exitcode(status)
    if time.monotonic() - process.since < seconds:
        return False, None
    os.killpg(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    return True, None


def _settle(process: Process, status: int | None, keep: Path) -> str:
    """Judges a case that has ended; a bad one is kept, a good one removed."""
    if status == cases.BROKEN:
        raise RuntimeError(f"the harness failed in {process.folder.name}: see above")
    case = json.loads((process.folder / "case.json").read_text())
    said = (process.folder / "said.txt").read_text("utf-8", "backslashreplace")
    result = cases.outcome(case, status, said)
    if result in cases.GOOD:
        shutil.rmtree(process.folder)
    else:
        kept = keep / process.folder.name
        shutil.rmtree(kept, ignore_errors=True)
        (process.folder / "case.json").write_text(json.dumps({**case, "outcome": result}, indent=1))
        shutil.copytree(process.folder, kept, symlinks=True)
        shutil.rmtree(process.folder)
    return result


def _tell(given: argparse.Namespace, counts: dict[str, Counter[str]], minutes: float) -> None:
    """Prints the counts and writes them down."""
    total = sum(counts.values(), Counter())
    for name, counter in {**counts, "all": total}.items():
        told = ", ".join(f"{count} {result}" for result, count in counter.most_common())
        print(f"{name:>12}: {counter.total()} cases: {told}")
    versions = {name: metadata.version(name) for name in ("mmtransfer", "torch", "transformers", "datasets", "pyarrow")}
    page: dict[str, Any] = {"seed": given.seed, "minutes": round(minutes, 1), "jobs": given.jobs, "versions": versions}
    page |= {"cases": total.total(), "outcomes": dict(total), "by kind": {k: dict(c) for k, c in counts.items()}}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(page, indent=2) + "\n")
