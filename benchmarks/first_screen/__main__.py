"""How good a model is after how long: ours beside the peers, 10 sentences of each of BANKING77's 77 classes, MiniLM.

    python -m benchmarks.first_screen rates         # for the peers' rate; 6 minutes on one core
    python -m benchmarks.first_screen run           # all that is missing; 40 minutes on one core
    python -m benchmarks.first_screen run --most 1  # the first that is missing (of rates as well)
    python -m benchmarks.first_screen render        # the page and the chart, from what was measured

Each contestant is a process of its own; its seconds are those from its start to its end, imports, training and the
score of all 3,080 test sentences included: by the clock, and of a CPU, which is the same on one core that nobody else
uses. Trainer at its best and the plain loop take the best of three rates, by training on 8 sentences of each class and
scoring the other two; what that takes is not counted. Ours has its defaults, once the epochs and the rate of Trainer at
its best, and a cache that is empty. Measured is what benchmarks/results/first_screen.json lacks. Needs
$MMTRANSFER_DATA; for `render` matplotlib (the extra `benchmarks`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.auto import drawn
from benchmarks.compute_once import minilm
from benchmarks.first_screen.contestants import BEST, CONTESTANTS, DEFAULTS, PAIRS, Contestant
from mmtransfer import files

RESULT = Path(__file__).parents[1] / "results" / "first_screen.json"
SHOTS, HELD_OUT = 10, 2
"""Training sentences of a class, and those of them that a peer's rate is chosen by."""
RATES = (1e-4, 2e-4, 5e-4)
PUBLISHED = 2e-5
"""The rate of SetFit's network, as its authors have it."""
LIBRARIES = ("torch", "transformers", "scikit-learn")


def known() -> dict[str, Any]:
    """What was measured: `rates`, by rate the accuracy; `runs`, by name; and the machine."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"rates": {}, "runs": {}}


def keep(found: Mapping[str, Any]) -> None:
    files.write_bytes(RESULT, json.dumps(found, indent=1).encode() + b"\n")


def rates(most: int) -> None:
    """Tries the rates that are missing, with Trainer at its best for five epochs; at most so many now."""
    for rate in [rate for rate in RATES if str(rate) not in known()["rates"]][:most]:
        with tempfile.TemporaryDirectory(prefix="first-screen-") as place:
            told = peer(CONTESTANTS["best-5"], *halves(Path(place)), rate)
        found = known()
        found["rates"][str(rate)] = told["right"] / told["of"]
        keep(found)
        print(f"rate {rate:g}: {told['right'] / told['of']:.4f}", flush=True)


def halves(place: Path) -> tuple[Path, Path]:
    """Writes the training sentences in two: all but two of each class, and those two."""
    with drawn(SHOTS, 0, place / "all.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    label, seen = header.index("category"), dict[str, int]()
    parts: tuple[list[list[str]], list[list[str]]] = ([header], [header])
    for row in rows:
        seen[row[label]] = seen.get(row[label], 0) + 1
        parts[seen[row[label]] <= HELD_OUT].append(row)
    for name, part in zip(("train.csv", "held-out.csv"), parts, strict=True):
        with (place / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(part)
    return place / "train.csv", place / "held-out.csv"


def rate_of(group: str) -> float | None:
    """The rate that did best; nothing for Trainer at its defaults, which brings its own."""
    if group in (DEFAULTS, PAIRS):
        return PUBLISHED if group == PAIRS else None
    tried = known()["rates"]
    if len(tried) < len(RATES):
        raise SystemExit("no rate yet: python -m benchmarks.first_screen rates")
    return float(max(tried, key=lambda rate: tried[rate]))


def peer(contestant: Contestant, train: Path, test: Path, rate: float | None) -> dict[str, int]:
    """Runs a peer in a process of its own: how many it got right, of how many."""
    settings = {**contestant.settings, **({} if rate is None else {"lr": rate})}
    words = ["-m", "benchmarks.first_screen.peers", contestant.peer, str(train), str(test), json.dumps(settings)]
    return dict(json.loads(started(words).splitlines()[-1]))


def ours(contestant: Contestant, train: Path, test: Path, place: Path) -> dict[str, int]:
    """Runs the command of a user; its result.json says how many it got right, of how many."""
    verb, *own = contestant.words
    backbone = ["--backbones" if verb == "auto" else "--backbone", minilm()]
    where = ["--out", str(place / "run"), "--cache-dir", str(place / "cache")]
    data = ["--train", str(train), "--test", str(test)]
    if contestant.settings:
        own += [word for name, value in contestant.settings.items() for word in (f"--{name}", str(value))]
        own += ["--lr", str(rate_of(BEST))]
    started(["-m", "mmtransfer", verb, "text-classification", *data, *backbone, *own, *where])
    score = json.loads((place / "run" / "result.json").read_text())["metrics"]["test"]["accuracy"]
    return {"right": round(score["value"] * score["n"]), "of": score["n"]}


def started(words: Sequence[str]) -> str:
    """What a process of Python with these words printed; ends the program where it failed."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def run(names: Sequence[str], most: int) -> None:
    """Measures those that are missing, one after the other, and keeps each when it is done; at most so many now."""
    from mmtransfer.engine.precision import has_bf16

    for name in [name for name in names if name not in known()["runs"]][:most]:
        contestant = CONTESTANTS[name]
        rate = rate_of(BEST if contestant.words else contestant.group) if contestant.settings else None
        with tempfile.TemporaryDirectory(prefix="first-screen-") as folder:
            place = Path(folder)
            train, test = drawn(SHOTS, 0, place / "train.csv"), data_folder() / "banking77" / "test.csv"
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            told = ours(contestant, train, test, place) if contestant.words else peer(contestant, train, test, rate)
            seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cores = f"{len(os.sched_getaffinity(0))} core{'s' * (len(os.sched_getaffinity(0)) > 1)}"
        versions = ", ".join(f"{library} {metadata.version(library)}" for library in LIBRARIES)
        machine = f"{cores} of a CPU {'with' if has_bf16() else 'without'} bf16 arithmetic; {versions}"
        found = known()
        found["runs"][name] = {"seconds": seconds, "cpu_seconds": cpu, **told, "rate": rate, "machine": machine}
        keep(found)
        print(f"{name}: {told['right'] / told['of']:.4f} after {seconds:.1f} s, {cpu:.1f} s of CPU", flush=True)


def main() -> None:
    """Measures or renders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("rates", "run", "render"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}; all if none is named")
    parser.add_argument("--most", type=int, default=len(CONTESTANTS) * len(RATES), help="measurements of this call")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in CONTESTANTS]
    if unknown:
        parser.error(f"no contestant {unknown[0]!r}; there are {', '.join(CONTESTANTS)}")
    if given.verb == "rates":
        rates(given.most)
    elif given.verb == "run":
        run(given.names or list(CONTESTANTS), given.most)
    else:
        from benchmarks.first_screen import page

        page.render(known())


if __name__ == "__main__":
    main()
