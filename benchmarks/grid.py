"""Does `mmtransfer auto`, in 15 % of the time of a whole grid, find as good a model as the grid?

    python -m benchmarks.grid run          # an hour of a core; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.grid run --set TREC --seeds 0
    python -m benchmarks.grid render       # writes benchmarks/grid.md

The grid is two backbones by three strategies by three rates, one `fit` each in one process; of it the run with the
best validation score is taken. The search, a process of its own, is offered both backbones and gets 15 % of the seconds
that all runs of the grid have taken. Both see the same training examples and are scored on the same test data. Rows are
added to benchmarks/results/grid.json as they are measured; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import statistics
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import data_folder
from benchmarks.auto import read, searched
from benchmarks.compute_once import fast, minilm
from mmtransfer import files

PAGE = Path(__file__).parent / "grid.md"
RESULT = Path(__file__).parent / "results" / "grid.json"
STRATEGIES = ("partial", "full", "lp-ft")
SHARE = 0.15
"""Of the grid's seconds, what the search gets."""
TOLD = f"""`python -m benchmarks.grid run`, then `render`. Accuracy on test data of the run of a grid that has the best
validation score, and of what `mmtransfer auto` has chosen in {SHARE:.0%} of the grid's seconds, all processes on as
many cores as are told. The grid: two backbones, strategies {", ".join(STRATEGIES)}, three rates."""


def trec(place: Path, seed: int) -> dict[str, Any]:
    """545 questions of six classes, MiniLM and the built-in backbone."""
    source = data_folder() / "trec"
    with (source / "train.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    random.Random(seed).shuffle(rows)
    with (place / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows[: len(rows) // 10]])
    data = {"train": place / "train.csv", "test": source / "test.csv"}
    return {"task": "text-classification", "data": data, "rates": (5e-5, 1e-4, 2e-4), "epochs": 4} | {
        "backbones": {minilm(): None, "builtin": None}
    }


def cifar10(place: Path, seed: int) -> dict[str, Any]:
    """500 pictures of ten classes at 64 pixels, SqueezeNet and the built-in backbone."""
    source, data = data_folder() / "cifar10", {}
    for split, count in (("train", 500), ("test", 2000)):
        table = pq.read_table(source / f"{split}.parquet")
        picked = random.Random(seed if split == "train" else 0).sample(range(len(table)), count)
        data[split] = place / f"{split}.parquet"
        pq.write_table(table.take(picked), data[split])
    weights = str(data_folder() / "weights" / "squeezenet1_1.safetensors")
    own = {"task": "image-classification", "data": data, "rates": (1e-4, 3e-4, 1e-3), "epochs": 10}
    settings = {"image_size": 64, "crop_pct": 1.0}
    return own | {"settings": settings, "backbones": {"squeezenet1_1": weights, "builtin": None}}


SETS = {"TREC": trec, "CIFAR-10": cifar10}


def grid(case: dict[str, Any], seed: int, place: Path) -> dict[str, Any]:
    """The run that its validation score chooses, and the seconds of all."""
    import mmtransfer as mmt

    begun, found = time.time(), list[dict[str, Any]]()
    common = {"task": case["task"], "precision": fast(), "seed": seed, "cache_dir": str(place / "cache")}
    data = {name: str(path) for name, path in case["data"].items()}
    for (backbone, weights), strategy, lr in itertools.product(case["backbones"].items(), STRATEGIES, case["rates"]):
        own = {"backbone": backbone, "strategy": strategy, "lr": lr, "epochs": case["epochs"]}
        given = {"weights": weights} if weights else {}
        out = str(place / f"run-{len(found)}")
        run = mmt.fit(**common, **data, **own, **given, **case.get("settings", {}), out=out)
        score = max(phase["best"]["value"] for phase in run.result["phases"])
        name = f"{strategy} of {Path(backbone).name}, rate {lr:g}"
        found.append({"validation": score, "test": run.result["primary"]["value"], "run": name})
        print(json.dumps(found[-1]), flush=True)
    best = max(found, key=lambda one: one["validation"])
    return {"runs": len(found), "seconds": time.time() - begun, "best_test": max(one["test"] for one in found), **best}


def words(case: dict[str, Any], seed: int) -> list[str]:
    """Those of a search."""
    backbones = [f"{name}={weights}" if weights else name for name, weights in case["backbones"].items()]
    data = [word for name, path in case["data"].items() for word in (f"--{name}", str(path))]
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in case.get("settings", {}).items()]
    return [case["task"], *data, *settings, "--seed", str(seed), "--backbones", *backbones]


def run(names: Sequence[str], seeds: Sequence[int]) -> None:
    """Measures what is missing."""
    known = read(RESULT)
    for name, seed in itertools.product(names, seeds):
        row = next((row for row in known if (row["set"], row["seed"]) == (name, seed)), None)
        if row is None:
            row = {"set": name, "seed": seed}
            known.append(row)
        with tempfile.TemporaryDirectory(prefix="grid-") as folder:
            case = SETS[name](Path(folder), seed)
            if "grid" not in row:
                row["grid"] = grid(case, seed, Path(folder))
                files.write_bytes(RESULT, json.dumps(known, indent=1).encode() + b"\n")
            if "auto" not in row:
                row["auto"] = searched(words(case, seed), SHARE * row["grid"]["seconds"] / 60)
                files.write_bytes(RESULT, json.dumps(known, indent=1).encode() + b"\n")
        print(json.dumps(row), flush=True)


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page."""
    columns = ["set", "seed", "cores", "grid, s", "auto, s", "the grid's choice", "auto's choice"]
    columns += ["grid: test", "auto: test", "auto - grid", "best of the grid in hindsight"]
    lines = ["# auto beside a grid", "", *textwrap.wrap(TOLD, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    rows = [row for row in rows if "auto" in row]
    for row in rows:
        whole, ours = row["grid"], row["auto"]
        cells = [row["set"], row["seed"], ours["cores"], f"{whole['seconds']:.0f}", f"{ours['seconds']:.0f}"]
        cells += [whole["run"], ours["chosen"], f"{whole['test']:.4f}", f"{ours['test']:.4f}"]
        cells += [f"{ours['test'] - whole['test']:+.4f}", f"{whole['best_test']:.4f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if rows:
        mean = statistics.mean(row["auto"]["test"] - row["grid"]["test"] for row in rows)
        lines += ["", f"Mean of auto - grid: {100 * mean:+.2f} points."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures or renders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--set", nargs="+", choices=tuple(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    given = parser.parse_args()
    if given.verb == "run":
        run(given.set, given.seeds)
    else:
        PAGE.write_text(page(read(RESULT)))


if __name__ == "__main__":
    main()
