"""What `mmtransfer auto` finds on BANKING77 with MiniLM and the built-in backbone, within minutes, the process counted.

    python -m benchmarks.auto run          # 35 minutes; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.auto run --row 5-shots --draws 2
    python -m benchmarks.auto render       # writes benchmarks/auto.md

A draw of few examples a class is that of `fit --shots N --seed DRAW` for a linear probe; the search sees no others.
Every search is a command of its own with a cache of its own. Rows are added to benchmarks/results/auto.json as they are
measured; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import minilm
from mmtransfer import files
from mmtransfer.data import subsets

PAGE = Path(__file__).parent / "auto.md"
RESULT = Path(__file__).parent / "results" / "auto.json"
ROWS: dict[str, tuple[float, int | None]] = {"all": (10.0, None), "5-shots": (2.0, 5), "10-shots": (2.0, 10)}
"""By name, minutes and examples a class."""
TOLD = """`python -m benchmarks.auto run`, then `render`. Test accuracy of what `mmtransfer auto text-classification`
has chosen on BANKING77, of all training sentences or of some of each class, MiniLM (all-MiniLM-L6-v2) and the built-in
backbone offered; seconds of the whole process. The validation score is the one that has chosen."""


def banking(train: Path | None = None) -> list[str]:
    """The words of a search on BANKING77; `train`: on these sentences of it."""
    place = data_folder() / "banking77"
    data = ["--train", str(train or place / "train.csv"), "--test", str(place / "test.csv")]
    return ["text-classification", *data, "--backbones", minilm(), "builtin"]


def drawn(shots: int, draw: int, path: Path) -> Path:
    """Writes `shots` training sentences of each class."""
    with (data_folder() / "banking77" / "train.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    label = header.index("category")
    picked = subsets.shots([row[label] for row in rows], len(rows), shots, draw)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(rows[place] for place in picked)])
    return path


def searched(words: Sequence[str], minutes: float) -> dict[str, Any]:
    """What a search found, and the seconds of its process."""
    with tempfile.TemporaryDirectory(prefix="auto-") as place:
        own = ["--max-minutes", str(minutes), "--out", f"{place}/run", "--cache-dir", f"{place}/cache"]
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "mmtransfer", "auto", *words, *own], capture_output=True, text=True, check=False
        )
        seconds = time.time() - begun
        if done.returncode:
            raise SystemExit(done.stderr)
        told, result = (json.loads((Path(place) / "run" / f"{name}.json").read_text()) for name in ("auto", "result"))
    return {
        "minutes": minutes,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": seconds,
        "over": seconds - 60 * minutes,
        "trials": len(told["trials"]),
        "chosen": told["chosen"]["way"],
        "validation": told["chosen"]["validation"]["value"],
        "test": result["primary"]["value"],
    }


def run(names: Sequence[str], draws: int) -> None:
    """Measures what is missing."""
    known = read(RESULT)
    for name in names:
        minutes, shots = ROWS[name]
        for draw in range(draws if shots else 1):
            if any((row["row"], row["draw"]) == (name, draw) for row in known):
                continue
            with tempfile.TemporaryDirectory(prefix="auto-") as place:
                train = drawn(shots, draw, Path(place) / "few.csv") if shots else None
                found = searched([*banking(train), "--seed", str(draw)], minutes)
            known.append({"row": name, "draw": draw} | found)
            print(json.dumps(known[-1]), flush=True)
            files.write_bytes(RESULT, json.dumps(known, indent=1).encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """What has been measured."""
    return json.loads(path.read_text()) if path.exists() else []


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page."""
    columns = ("examples", "draw", "minutes", "cores", "seconds", "trials", "chosen", "validation", "test")
    lines = ["# What `auto` finds", "", *textwrap.wrap(TOLD, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in sorted(rows, key=lambda row: ([*ROWS].index(row["row"]), row["draw"])):
        cells = [row["row"], row["draw"], f"{row['minutes']:g}", row["cores"], f"{row['seconds']:.1f}", row["trials"]]
        cells += [row["chosen"], f"{row['validation']:.4f}", f"{row['test']:.4f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append("")
    for name in ROWS:
        scores = [row["test"] for row in rows if row["row"] == name]
        if len(scores) > 1:
            lines.append(f"{name}: mean {statistics.mean(scores):.4f} of {len(scores)} draws.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures or renders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--row", nargs="*", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--draws", type=int, default=5, help="of few examples a class")
    given = parser.parse_args()
    if given.verb == "run":
        run(given.row, given.draws)
    else:
        PAGE.write_text(page(read(RESULT)))


if __name__ == "__main__":
    main()
