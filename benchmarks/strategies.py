"""What wins where: strategies beside each other on small parts of four sets, each with its default options.

    python -m benchmarks.strategies run        # needs $MMTRANSFER_DATA, see benchmarks/data.md; two hours of a core
    python -m benchmarks.strategies render     # writes benchmarks/strategies.md

`--set`, `--strategy` and `--seeds` run these alone; `--strategy norm dora` adds rows. Another seed draws other training
examples. All strategies of a set have the same epochs and `--lr`, which each multiplies as its options say. Runs are
folders in runs/strategies; a finished one is not run again, a stopped one goes on. A CPU that has no bf16 runs in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import fast, minilm

PAGE = Path(__file__).parent / "strategies.md"
RUNS = Path("runs") / "strategies"
SEEDS = (0, 1, 2)
USUAL = ("linear-probe", "partial", "full", "lp-ft", "lora", "bitfit")
"""Strategies that run if no others are named; see `usual`."""
COLUMNS = ("data", "strategy", "accuracy", "the best minus it", "adjusted p", "verdict", "seconds", "trained")
NOT_YET = "not measured yet"


def cases() -> dict[str, dict[str, Any]]:
    """By the set's name, the settings of `fit` that the strategies share."""
    data = Path(os.environ.get("MMTRANSFER_DATA", ""))

    def of(task: str, folder: str, end: str = "", **settings: Any) -> dict[str, Any]:
        files = {split: str(data / folder / f"{split}{end}") for split in ("train", "test")}
        return {"task": f"{task}-classification", "backbone": "builtin", **files, **settings}

    return {
        "BANKING77, 20 a class": of("text", "banking77", ".csv", backbone=minilm(), shots=20, epochs=5, lr=2e-4),
        "SST-2, 15 %": of("text", "sst2", ".csv", backbone=minilm(), fraction=0.15, epochs=5, lr=2e-4),
        "CIFAR-10, 100 a class": of(
            "image", "cifar10", ".parquet", shots=100, image_size=64, crop_pct=1.0, epochs=10, lr=1e-3
        ),
        "FSDD words, 20 of each": of("audio", "fsdd", label_column="text", shots=20, epochs=10, lr=6e-4),
    }


def usual(case: str) -> list[str]:
    """Those of a set: the built-in backbone for pictures has no linear layers that adapters could go into."""
    return [{"lora": "norm"}.get(name, name) if case.startswith("CIFAR") else name for name in USUAL]


def settings_of(case: str, strategy: str, seed: int) -> dict[str, Any]:
    """Settings of `fit` for one run."""
    place = RUNS / case.replace(",", "").replace(" ", "-").replace("%", "percent") / f"{strategy}-{seed}"
    return {**cases()[case], "strategy": strategy, "precision": fast(), "seed": seed, "out": str(place)}


def result_of(case: str, strategy: str, seed: int) -> dict[str, Any] | None:
    """What a run came to; None where it has not finished."""
    path = Path(settings_of(case, strategy, seed)["out"]) / "result.json"
    result: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return result if result is not None and result["status"] == "finished" else None


def run(names: Sequence[str], strategies: Sequence[str], seeds: Sequence[int]) -> None:
    """Runs what has no finished run folder yet, seed by seed; `strategies`: the usual ones if empty."""
    from mmtransfer import fit

    for seed in seeds:
        for case in names:
            for strategy in strategies or usual(case):
                if result_of(case, strategy, seed) is not None:
                    continue
                print(f"{case}: {strategy}, seed {seed}", flush=True)
                settings = settings_of(case, strategy, seed)
                fit(**settings, **({"resume": True} if (Path(settings["out"]) / "config.json").exists() else {}))


def render(before: str = "") -> str:
    """The page of the finished runs. A set that has none here keeps its lines of `before`, an earlier page."""
    method = (
        f"`python -m benchmarks.strategies run`, then `render`; {os.cpu_count()} cores, no accelerator, torch"
        f" {metadata.version('torch')}, transformers {metadata.version('transformers')}. Test accuracy, mean of the"
        " seeds (range of the runs), in the order of the means; differences from the best are paired, with 95 %"
        " intervals over test examples and seeds, p adjusted for the comparisons within a set (Holm 1979). Seconds:"
        " median of the whole run on one core, other work beside it. Trained: parameters. Strategies of a set are"
        " compared by the seeds that all of them have."
    )
    lines = ["# What wins where", "", textwrap.fill(method, 120, break_on_hyphens=False), ""]
    table = [_line(*COLUMNS), "|---" * len(COLUMNS) + "|"]
    for case in cases():
        found, said = _set(case)
        shown = before.split("What `fit` is called with:")[0].splitlines()
        kept = [line for line in shown if line.startswith((f"| {case} |", f"- {case}:"))]
        if said is None and kept:
            lines += [line for line in kept if line.startswith("-")]
            table += [line for line in kept if line.startswith("|")]
        else:
            lines.append(f"- {case}: {said or NOT_YET}")
            table += found
    commands = [f"- {case}: `{_command(case)}`" for case in cases()]
    return "\n".join([*lines, "", *table, "", "What `fit` is called with:", "", *commands]) + "\n"


def _set(case: str) -> tuple[list[str], str | None]:
    """The lines of a set, and what they say in a sentence; None where no strategy has a run."""
    from mmtransfer.comparison import compare
    from mmtransfer.strategies import STRATEGIES

    finished: dict[str, dict[int, dict[str, Any]]] = {}
    for strategy in dict.fromkeys((*usual(case), *STRATEGIES)):
        results = {seed: result for seed in SEEDS if (result := result_of(case, strategy, seed)) is not None}
        if results or strategy in usual(case):
            finished[strategy] = results
    common = set(SEEDS).intersection(*(results for results in finished.values() if results))
    measured = {name: [found[seed] for seed in sorted(common)] for name, found in finished.items() if found and common}
    order = sorted(measured, key=lambda name: -statistics.mean(map(_accuracy, measured[name])))
    verdicts: list[Any] = [None]
    if len(order) > 1:  # the best first, so that each difference is the best minus another
        folders = [settings_of(case, name, seed)["out"] for name in order for seed in sorted(common)]
        verdicts += compare(folders).verdicts
    lines, words = [], dict[str, list[str]]()
    for strategy, verdict in zip(order, verdicts, strict=bool(order)):
        word, cells = _verdict(verdict)
        words.setdefault(word, []).append(strategy)
        lines.append(_line(case, strategy, _score(measured[strategy]), *cells, *_cost(measured[strategy])))
    lines += [_line(case, name, NOT_YET, *[""] * (len(COLUMNS) - 3)) for name in finished if name not in measured]
    told = [f"{word}: {', '.join(names)}" for word, names in words.items()]
    seeds = f" ({len(common)} seed{'s' if len(common) > 1 else ''})"
    return lines, "; ".join(told) + seeds if told else None


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _verdict(verdict: Any) -> tuple[str, list[str]]:
    """A word for what a comparison with the best shows, and its cells."""
    if verdict is None:
        return "best", ["", "", "best"]
    word = "no difference shown" if verdict.better is None and not verdict.is_open else "worse"
    word = "open" if verdict.is_open else word
    p = "" if verdict.adjusted is None else f"{verdict.adjusted:.2g}"
    return word, [f"{verdict.difference:+.4f}", p, word]


def _cost(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds, and parameters that trained."""
    seconds = statistics.median(result["seconds"]["total"] for result in results)
    return [f"{seconds:.0f}", f"{results[0]['parameters']['trainable']:,}"]


def _accuracy(result: Mapping[str, Any]) -> float:
    return float(result["metrics"]["test"]["accuracy"]["value"])


def _score(results: Sequence[Mapping[str, Any]]) -> str:
    values = [_accuracy(result) for result in results]
    spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def _command(case: str) -> str:
    """The command of a set's first run, places of data as in benchmarks/data.md."""
    from mmtransfer.config import flag

    data = str(Path(os.environ.get("MMTRANSFER_DATA", "")))
    settings = settings_of(case, "STRATEGY", 0)
    task = settings.pop("task")
    shown = {name: str(value).replace(data, "{data}", 1) for name, value in settings.items() if name != "out"}
    if settings["backbone"] == minilm():
        shown["backbone"] = "{minilm}"
    return " ".join([f"mmtransfer fit {task}", *(f"{flag(name)} {value}" for name, value in shown.items())])


def main() -> None:
    """`run` or `render`."""
    from mmtransfer.strategies import STRATEGIES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--set", nargs="*", choices=tuple(cases()), default=list(cases()), help="with run: these alone")
    parser.add_argument("--strategy", nargs="*", choices=tuple(STRATEGIES), default=(), help="with run: these")
    parser.add_argument("--seeds", nargs="*", type=int, choices=SEEDS, default=SEEDS, help="with run: these alone")
    given = parser.parse_args()
    if given.verb == "run":
        data_folder()
        run(given.set, given.strategy, given.seeds)
    else:
        PAGE.write_text(render(PAGE.read_text() if PAGE.exists() else ""))
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
