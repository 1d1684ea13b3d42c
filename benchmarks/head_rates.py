"""How much faster a fresh head should learn than the backbone, with random weights tuned by as many trials.

    python -m benchmarks.head_rates run        # needs $MMTRANSFER_DATA, see benchmarks/data.md; two hours of a core
    python -m benchmarks.head_rates render     # writes benchmarks/head_rates.md

`full` and `partial` with three multiples of the backbone's rate for the head, `lp-ft` with two rates, `scratch` with
three rates, two seeds each, on six sets cut down to runs of a minute; another seed draws other training examples. Runs
are folders in runs/head_rates; a finished one is not run again, a stopped one goes on. All in fp32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.compute_once import data, minilm

PAGE = Path(__file__).parent / "head_rates.md"
RUNS = Path("runs") / "head_rates"
SEEDS = (0, 1)
STRATEGIES = ("full", "partial", "scratch", "lp-ft")
RATIOS = (1.0, 5.0, 10.0)
"""The head's rate over the backbone's."""
CIFAR = {"train": 3000, "test": 1000}
"""Pictures of CIFAR-10, drawn once: looking at all of them would take longer than the training."""
MEASURED = ("SST-2, 15 %", "TREC, 15 %", "BANKING77, 20 a class")
"""Cases whose `lp-ft` is in benchmarks/lp_ft.md."""


def cases() -> dict[str, dict[str, Any]]:
    """By name, the settings of `fit` that the strategies share."""

    def texts(name: str, **part: Any) -> dict[str, Any]:
        files = {"train": str(data() / name / "train.csv"), "test": str(data() / name / "test.csv")}
        return {"task": "text-classification", "backbone": minilm(), **files, "lr": 1e-4, **part}

    def pictures(train: str, test: str, size: int, epochs: int, **part: Any) -> dict[str, Any]:
        weights = str(data() / "weights" / "mobilenet_v2.safetensors")
        network = {"backbone": "mobilenet_v2", "weights": weights, "image_size": size, "lr": 1e-4}
        shared = {"task": "image-classification", "train": train, "test": test, "validation_fraction": 0.2}
        return {**shared, **network, "epochs": epochs, **part}

    def digits(**part: Any) -> dict[str, Any]:
        files = {"train": str(data() / "fsdd" / "train"), "test": str(data() / "fsdd" / "test")}
        rates = {"epochs": 10, "batch_size": 16, "lr": 6e-4, "fraction": 0.2}
        return {"task": "speech-recognition", "backbone": "builtin", **files, **rates, **part}

    bees = data() / "hymenoptera"
    small, held = (str(RUNS / f"cifar-{split}.parquet") for split in CIFAR)
    return {
        "hymenoptera, 128 px": pictures(str(bees / "train"), str(bees / "val"), 128, 4),
        "CIFAR-10, 10 a class": pictures(small, held, 64, 10, shots=10),
        "CIFAR-10, 100 a class": pictures(small, held, 64, 4, shots=100),
        "TREC, 15 %": texts("trec", epochs=3, fraction=0.15),
        "FSDD, 20 %": digits(),
        "SST-2, 15 %": texts("sst2", epochs=2, fraction=0.15),
        "BANKING77, 20 a class": texts("banking77", epochs=3, shots=20),
    }


def trials(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, settings) of what is tried on a case."""
    for ratio in RATIOS:
        yield f"full, {ratio:g}x", {"strategy": "full", "strategy_options": {"head_lr_ratio": ratio}}
    if case.startswith("BANKING77"):
        return
    for ratio in RATIOS:
        yield f"partial, {ratio:g}x", {"strategy": "partial", "strategy_options": {"head_lr_ratio": ratio}}
    rate = cases()[case]["lr"]
    for factor in (1, 3, 10):
        scratch = {"strategy": "scratch", "weights": None, "lr": rate * factor}
        yield f"scratch, rate x{factor}", scratch
    if case not in MEASURED:
        for part in (0.5, 1.0):
            yield f"lp-ft, rate x{part:g}", {"strategy": "lp-ft", "strategy_options": {"lr_ratio": part}}


def runs(case: str, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the trial, settings of fit) of a case."""
    for trial, chosen in trials(case):
        place = RUNS / _slug(case) / f"{_slug(trial)}-{seed}"
        settings = {**cases()[case], "precision": "fp32", "threads": 1, **chosen, "seed": seed, "out": str(place)}
        yield trial, settings


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-").replace("%", "percent")


def finished(settings: dict[str, Any]) -> bool:
    """Whether a run is there and ended well."""
    path = Path(settings["out"]) / "result.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def run(case: str, seed: int, strategies: Sequence[str]) -> None:
    """Runs what has no finished run folder yet."""
    from mmtransfer import fit

    _cut_cifar()
    for trial, settings in runs(case, seed):
        if not finished(settings) and settings["strategy"] in strategies:
            print(f"{case}: {trial}, seed {seed}", flush=True)
            fit(**settings, **({"resume": True} if (Path(settings["out"]) / "config.json").exists() else {}))


def _cut_cifar() -> None:
    import numpy as np
    import pyarrow.parquet as pq

    for split, count in CIFAR.items():
        place = RUNS / f"cifar-{split}.parquet"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            table = pq.read_table(data() / "cifar10" / f"{split}.parquet")
            rows = np.sort(np.random.default_rng(0).permutation(len(table))[:count])
            pq.write_table(table.take(rows), place)


def render() -> str:
    """The tables of the cases whose runs have all finished, as Markdown."""
    method = (
        f"`python -m benchmarks.head_rates run`, then `render`; one thread on a core, no accelerator, torch"
        f" {metadata.version('torch')}, transformers {metadata.version('transformers')}, fp32. Mean test score (of"
        f" FSDD the word error rate: lower is better), of several seeds their range; differences are paired, with 95 %"
        " intervals over test examples and seeds. mobilenet_v2 with ImageNet's weights, all-MiniLM-L6-v2, and"
        " the built-in speech backbone."
    )
    lines = ["# The rate of a fresh head", "", textwrap.fill(method, 120, break_on_hyphens=False), ""]
    lines += ["| data | trial | seeds | test | validation | seconds | minus the first of its kind |", "|---" * 7 + "|"]
    for case in cases():
        by_trial: dict[str, list[dict[str, Any]]] = {}
        for seed in SEEDS:
            for trial, settings in runs(case, seed):
                if finished(settings):
                    by_trial.setdefault(trial, []).append(settings)
        for trial, settings_of in by_trial.items():
            lines.append(_row(case, trial, settings_of, by_trial))
    return "\n".join(lines) + "\n"


def _row(case: str, trial: str, own: list[dict[str, Any]], by_trial: dict[str, list[dict[str, Any]]]) -> str:
    from mmtransfer.comparison import compare

    results = [json.loads((Path(settings["out"]) / "result.json").read_text()) for settings in own]
    primary = results[0]["primary"]["name"]
    test, validation = (
        [result["metrics"][split][primary]["value"] for result in results] for split in ("test", "validation")
    )
    seconds = statistics.median(result["seconds"]["total"] for result in results)
    usual = next((name for name in by_trial if name.split(",")[0] == trial.split(",")[0]), trial)
    difference = ""
    if usual != trial and [one["seed"] for one in by_trial[usual]] == [one["seed"] for one in own]:
        folders = [settings["out"] for settings in (*own, *by_trial[usual])]
        between = compare(folders).verdicts[0].difference
        difference = f"{between:+.4f}"
    score = f"{statistics.mean(test):.4f}" + (f" ({min(test):.4f} to {max(test):.4f})" if len(test) > 1 else "")
    means = f"{len(own)} | {score} | {statistics.mean(validation):.4f}"
    return f"| {case} | {trial} | {means} | {seconds:.0f} | {difference} |"


def main() -> None:
    """`run` or `render`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--case", nargs="*", choices=tuple(cases()), help="with run: these alone")
    parser.add_argument("--strategy", nargs="*", choices=STRATEGIES, default=STRATEGIES, help="with run: these alone")
    parser.add_argument("--seed", nargs="*", type=int, choices=SEEDS, default=SEEDS, help="with run: these alone")
    given = parser.parse_args()
    if given.verb == "run":
        for seed in given.seed:
            for case in given.case or cases():
                run(case, seed, given.strategy)
    else:
        PAGE.write_text(render())
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
