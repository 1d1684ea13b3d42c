"""Does `mmtransfer auto` keep to `--max-minutes`? Seconds from the start of the process to its end, over the budget.

    python -m benchmarks.overrun run          # 40 minutes; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.overrun run --minutes 0.5 --modality text --runs 1
    python -m benchmarks.overrun render       # writes benchmarks/overrun.md

Every run is a command of its own with a cache of its own, on all of BANKING77, hymenoptera and FSDD (its digits as
labels): too much for the smallest budgets, more than enough for the largest. Rows are added to
benchmarks/results/overrun.json as they are measured; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import minilm
from mmtransfer import files

PAGE = Path(__file__).parent / "overrun.md"
RESULT = Path(__file__).parent / "results" / "overrun.json"
MINUTES = (0.5, 1.0, 2.0, 3.0)
SHARE, SECONDS = 0.02, 3.0
"""An overrun may be a share of the budget, or so many seconds where that is more."""
TOLD = f"""`python -m benchmarks.overrun run`, then `render`. Seconds are those of the whole process, from its start to
its end, imports and the scoring of the test data included; a budget is kept where the overrun is at most the larger of
{SHARE:.0%} of it and {SECONDS:g} s."""


def commands() -> dict[str, list[str]]:
    """By modality, what is searched."""
    data = data_folder()
    bees, digits = data / "hymenoptera", data / "fsdd"
    weights = f"mobilenet_v2={data / 'weights' / 'mobilenet_v2.safetensors'}"
    banking = [f"--{split}={data / 'banking77' / split}.csv" for split in ("train", "test")]
    return {
        "text": ["text-classification", *banking, "--backbones", minilm(), "builtin"],
        "image": ["image-classification", f"--train={bees / 'train'}", f"--test={bees / 'val'}"]
        + ["--backbones", weights, "builtin"],
        "audio": ["audio-classification", f"--train={digits / 'train'}", f"--test={digits / 'test'}"]
        + ["--label-column", "text", "--backbones", "builtin"],
    }


def measured(modality: str, minutes: float) -> dict[str, Any]:
    """A run, and how long it took."""
    with tempfile.TemporaryDirectory(prefix="overrun-") as place:
        own = ["--max-minutes", str(minutes), "--out", f"{place}/run", "--cache-dir", f"{place}/cache"]
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "mmtransfer", "auto", *commands()[modality], *own],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.time() - begun
        if done.returncode:
            raise SystemExit(done.stderr)
        told, result = (json.loads((Path(place) / "run" / f"{name}.json").read_text()) for name in ("auto", "result"))
    return {
        "modality": modality,
        "minutes": minutes,
        "cores": len(os.sched_getaffinity(0)),
        "seconds": seconds,
        "over": seconds - 60 * minutes,
        "trials": len(told["trials"]),
        "chosen": told["chosen"]["way"],
        "test": result["primary"]["value"],
    }


def run(modalities: list[str], minutes: list[float], runs: int) -> None:
    """Measures what is missing."""
    known = read()
    for number, modality, budget in itertools.product(range(runs), modalities, minutes):
        if len([row for row in known if (row["modality"], row["minutes"]) == (modality, budget)]) > number:
            continue
        known.append(measured(modality, budget))
        print(json.dumps(known[-1]), flush=True)
        files.write_bytes(RESULT, json.dumps(known, indent=1).encode() + b"\n")


def read() -> list[dict[str, Any]]:
    """What has been measured."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else []


def kept(row: dict[str, Any]) -> bool:
    """Whether a run kept to its budget."""
    return bool(row["over"] <= max(SECONDS, SHARE * 60 * row["minutes"]))


def page(rows: list[dict[str, Any]]) -> str:
    """The page."""
    told = f"{sum(map(kept, rows))} of {len(rows)} runs kept to their budget; the largest overrun was "
    told += f"{max(row['over'] for row in rows):+.1f} s."
    columns = ("modality", "minutes", "cores", "seconds", "over", "kept", "trials", "chosen", "test")
    lines = ["# Are budgets kept?", "", *textwrap.wrap(TOLD, 120), "", *textwrap.wrap(told, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in sorted(rows, key=lambda row: (row["modality"], row["minutes"])):
        cells = [row["modality"], f"{row['minutes']:g}", row["cores"], f"{row['seconds']:.1f}", f"{row['over']:+.1f}"]
        cells += ["yes" if kept(row) else "no", row["trials"], row["chosen"], f"{row['test']:.4f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures or renders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--modality", nargs="*", choices=tuple(commands()), default=list(commands()))
    parser.add_argument("--minutes", nargs="*", type=float, default=list(MINUTES))
    parser.add_argument("--runs", type=int, default=2, help="of each modality and budget")
    given = parser.parse_args()
    if given.verb == "run":
        run(given.modality, given.minutes, given.runs)
    else:
        PAGE.write_text(page(read()))


if __name__ == "__main__":
    main()
