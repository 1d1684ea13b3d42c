"""How much memory an exact head on many stored features takes beside the features themselves.

    python -m benchmarks.head_memory [--rows 1000000] [--width 768]      # about 6 minutes on one core, 3 GB of disk
    python -m benchmarks.head_memory --quick                             # 100,000 rows

Random float32 features of ten classes are written as an entry of the cache, in the order in which a pass leaves them.
Then a process of its own for each way of having them (`resident`: read into memory, as where a quarter of what is free
is enough; `mapped`: left in their shards; `computed`: collected from a pass, with no cache) finds the logistic head at
one penalty. Told is the largest resident size that the system has seen of each, pages of mapped files included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtransfer.cache import features
from mmtransfer.probe import Rows, logistic

RESULT = Path(__file__).parent / "results" / "head_memory.json"
WAYS = ("resident", "mapped", "computed")
CLASSES = 10
PENALTY = 1e-2
"""Relative to the features' mean square; of the path the one that is visited first."""
BATCH = 512
GIB = 2**30


def batches(rows: int) -> list[np.ndarray]:
    """Example numbers as a pass takes them: not in order."""
    order = np.random.default_rng(0).permutation(rows).astype(np.int32)
    return [order[start : start + BATCH] for start in range(0, rows, BATCH)]


def passed(wanted: list[np.ndarray], width: int) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
    """States of these batches: class c, the number of the example modulo ten, has more of features c, c + 10, ..."""
    for batch in wanted:
        random = torch.Generator().manual_seed(int(batch[0]))
        x = torch.empty(len(batch), width).normal_(generator=random)
        own = torch.from_numpy(batch % CLASSES)[:, None] == torch.arange(width) % CLASSES
        yield batch, {"x": x.add_(own, alpha=0.1)}


def build(place: Path, rows: int, width: int) -> Path:
    """The entry, in `place`."""
    unfinished, entry = place / "unfinished", place / "entry"
    unfinished.mkdir()
    groups = features.shards(batches(rows), np.full(rows, 4.0 * width))
    for _ in features.build(unfinished, entry, groups, {}, lambda wanted: passed(wanted, width), {}):
        pass
    return entry


def solve(entry: Path, way: str, rows: int, width: int) -> dict[str, Any]:
    """What this process needs for a head, in bytes and seconds."""
    peaks, begun = {"imports": peak()}, time.perf_counter()
    if way == "computed":
        found = features.collect(1, rows, passed(batches(rows), width))
    else:
        found = features.open_states(entry, 1, rows, 2**62 if way == "resident" else 0)
    peaks["opened"] = peak()
    data = Rows([found.matrix()], [torch.arange(rows) % CLASSES], "classes", CLASSES)
    head = logistic(data, PENALTY * data.square)
    peaks["solved"] = peak()
    return {"peak_bytes": peaks, "seconds": time.perf_counter() - begun, "loss": head.value, "calls": head.evaluations}


def peak() -> int:
    """The largest resident size of this process so far: not that of the one that has started it, as getrusage has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Builds the entry, starts a process for each way, and writes what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows; nothing is written")
    parser.add_argument("--way", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--entry", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = given.rows // 10 if given.quick and not given.entry else given.rows
    if given.entry:
        print(json.dumps(solve(given.entry, given.way[0], rows, given.width)))
        return
    size, found = 4 * rows * given.width, {}
    with tempfile.TemporaryDirectory() as place:
        entry = build(Path(place), rows, given.width)
        for way in given.way:
            words = ["--entry", str(entry), "--way", way, "--rows", str(rows), "--width", str(given.width)]
            command = [sys.executable, "-m", "benchmarks.head_memory", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[way] = json.loads(done.stdout.splitlines()[-1])
            most = found[way]["peak_bytes"]["solved"]
            print(f"{way}: {most / GIB:.2f} GiB at most, of which features {size / GIB:.2f}", found[way], flush=True)
    if not given.quick:
        RESULT.write_text(json.dumps({"rows": rows, "width": given.width, "features_bytes": size, **found}, indent=1))


if __name__ == "__main__":
    main()
