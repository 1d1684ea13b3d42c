"""Is it worth fitting the head exactly before everything is trained? Probe, lp-ft and full fine-tuning, three seeds.

    python -m benchmarks.lp_ft run        # needs $MMTRANSFER_DATA, see benchmarks/data.md; two hours of a core
    python -m benchmarks.lp_ft render     # writes benchmarks/lp_ft.md

Parts of the data that take minutes: another seed draws other training examples. `full` has the rates of
benchmarks/rows.json; `lp-ft` the same (its default), or half of them, for as many epochs. Runs are folders in
runs/lp_ft_rates; a finished one is not run again, a stopped one goes on. A CPU that has no bf16 runs in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import textwrap
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import fast, minilm

PAGE = Path(__file__).parent / "lp_ft.md"
RUNS = Path("runs") / "lp_ft_rates"
SEEDS = (0, 1, 2)
HALF = "lp-ft, half the rate"
STRATEGIES: dict[str, dict[str, Any]] = {
    "linear-probe": {"strategy": "linear-probe"},
    HALF: {"strategy": "lp-ft", "strategy_options": {"lr_ratio": 0.5}},
    "lp-ft": {"strategy": "lp-ft", "strategy_options": {"lr_ratio": 1.0}},
    "full": {"strategy": "full", "strategy_options": {"head_lr_ratio": 5.0}},
}
DIFFERENCES = ((HALF, "full"), ("lp-ft", "full"), (HALF, "linear-probe"), ("full", "linear-probe"))


def cases() -> dict[str, dict[str, Any]]:
    """By name, the settings of `fit` that the strategies share."""
    data = Path(os.environ.get("MMTRANSFER_DATA", ""))

    def texts(name: str, **part: Any) -> dict[str, Any]:
        files = {"train": str(data / name / "train.csv"), "test": str(data / name / "test.csv")}
        rates = {"epochs": 5, "lr": 2e-4, "label_smoothing": 0.1}
        return {"task": "text-classification", "backbone": minilm(), **files, **rates, **part}

    pictures = {"train": str(data / "hymenoptera" / "train"), "test": str(data / "hymenoptera" / "val")}
    return {
        "BANKING77, 20 a class": texts("banking77", shots=20),
        "SST-2, 15 %": texts("sst2", fraction=0.15),
        "TREC, 30 %": texts("trec", fraction=0.3),
        "hymenoptera, built-in backbone": {
            "task": "image-classification",
            "backbone": "builtin",
            **pictures,
            "validation_fraction": 0.2,
            "image_size": 224,
            "epochs": 10,
            "lr": 1e-3,
        },
    }


def runs(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the strategy, settings of fit) of a case: each strategy, each seed."""

    def slug(name: str) -> str:
        return name.replace(",", "").replace(" ", "-").replace("%", "percent")

    for strategy, options in STRATEGIES.items():
        for seed in SEEDS:
            place = RUNS / slug(case) / f"{slug(strategy)}-{seed}"
            chosen = {**cases()[case], **options, "precision": fast(), "seed": seed}
            if chosen["task"] == "image-classification" and strategy == "full":
                chosen["strategy_options"] = {"head_lr_ratio": 1.0}  # its rate is ten times the usual one
            yield strategy, {**chosen, "out": str(place)}


def finished(settings: dict[str, Any]) -> bool:
    """Whether a run is there and ended well."""
    path = Path(settings["out"]) / "result.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def run(case: str) -> None:
    """Runs what has no finished run folder yet."""
    from mmtransfer import fit

    for strategy, settings in runs(case):
        if not finished(settings):
            print(f"{case}: {strategy}, seed {settings['seed']}", flush=True)
            fit(**settings, **({"resume": True} if (Path(settings["out"]) / "config.json").exists() else {}))


def render() -> str:
    """The table of the cases whose runs have all finished, as Markdown."""
    from mmtransfer.comparison import compare

    method = (
        f"`python -m benchmarks.lp_ft run`, then `render`; {os.cpu_count()} cores, no accelerator, torch"
        f" {metadata.version('torch')}, transformers {metadata.version('transformers')}. Test accuracy, mean of"
        f" {len(SEEDS)} seeds (range of the runs); differences are paired, with 95 % intervals over test examples and"
        " seeds. Seconds are medians, with one thread on one core, where features were not cached before."
    )
    lines = [
        "# The exact head first, or not",
        "",
        textwrap.fill(method, 120, break_on_hyphens=False),
        "",
        f"| data | precision | {' | '.join(STRATEGIES)} | {' | '.join(map(' minus '.join, DIFFERENCES))} | seconds |",
        "|---" * (3 + len(STRATEGIES) + len(DIFFERENCES)) + "|",
    ]
    for case in cases():
        given = list(runs(case))
        if not all(finished(settings) for _, settings in given):
            continue
        found: dict[str, list[dict[str, Any]]] = {strategy: [] for strategy in STRATEGIES}
        for strategy, settings in given:
            found[strategy].append(json.loads((Path(settings["out"]) / "result.json").read_text()))
        scores, seconds = [], []
        for results in found.values():
            values = [result["metrics"]["test"]["accuracy"]["value"] for result in results]
            scores.append(f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
            seconds.append(f"{statistics.median(result['seconds']['total'] for result in results):.0f}")
        differences = []
        for pair in DIFFERENCES:
            folders = [settings["out"] for name in pair for strategy, settings in given if strategy == name]
            between = compare(folders).verdicts[0].difference
            differences.append(f"{between:+.4f}")
        dtype = found["full"][0]["precision"]["dtype"]
        lines.append(f"| {' | '.join([case, dtype, *scores, *differences, ' / '.join(seconds)])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """`run` or `render`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--case", nargs="*", choices=tuple(cases()), help="with run: these alone")
    given = parser.parse_args()
    if given.verb == "run":
        data_folder()
        for case in given.case or cases():
            run(case)
    else:
        PAGE.write_text(render())
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
