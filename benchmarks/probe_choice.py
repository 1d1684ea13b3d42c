"""How is the penalty of a linear probe best chosen: by a tenth held out, or by folds, and by which score of these?

    python -m benchmarks.probe_sets              # features, once; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.probe_choice run        # an hour of a core; --n 200 --set TREC: only these
    python -m benchmarks.probe_choice render     # writes benchmarks/probe_choice.md

Each draw takes other training examples, at least two of a class; of all examples only the split in folds, or the tenth,
is drawn. Both ways end with a head that has seen all of them. Rows are added to benchmarks/results/probe_choice.json as
they are found; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks.probe_sets import Features, load, sets
from mmtransfer import files
from mmtransfer.data.splits import holdout
from mmtransfer.probe import Linear, deal, logistic, solve
from mmtransfer.strategies.probe import FOLDS

PAGE = Path(__file__).parent / "probe_choice.md"
RESULT = Path(__file__).parent / "results" / "probe_choice.json"
SIZES = (200, 1000, 0)
DRAWS = range(5)
RULES = ("accuracy", "loss", "both", "hindsight")


def drawn(classes: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Sorted places of `n` examples, two of each class among them, or of all."""
    order = np.random.default_rng([seed, n]).permutation(len(classes))
    if not n or n >= len(classes):
        return np.arange(len(classes))
    seen: dict[int, int] = defaultdict(int)
    first = np.zeros(len(classes), bool)
    for place in order:
        seen[int(classes[place])] += 1
        first[place] = seen[int(classes[place])] <= 2
    return np.sort(np.concatenate([order[first[order]], order[~first[order]]])[:n])


def measured(features: Features, n: int, seed: int) -> dict[str, Any]:
    """What a tenth held out and what folds make of a draw: test accuracies, penalties and seconds; and of each penalty
    on the path of the folds its accuracy and loss there, and the test accuracy of a head of all examples."""
    places = drawn(features.classes.numpy(), n, seed)
    rows = features.rows(places)
    labels = [str(number) for number in rows.targets[0].tolist()]

    def accuracy(model: Linear) -> float:
        return round(float((model(features.test).argmax(1) == features.answers).float().mean()), 6)

    begun = time.monotonic()
    rest, held = holdout(labels, len(places), 0.1, seed)
    tenth = solve(features.rows(places[rest]), features.rows(places[held]))
    between = time.monotonic()
    found = solve(rows, folds=deal(rows, [str(place) for place in places], FOLDS, seed))
    ended = time.monotonic()
    assert found.held_out is not None
    path, model = [], None
    for point in found.path:
        model = logistic(rows, point.penalty * rows.square, model)
        path.append([_short(point.penalty), round(point.accuracy or 0.0, 6), round(point.loss, 6), accuracy(model)])
    return {
        "examples": len(places),
        "tenth": {
            "test": accuracy(tenth.final),
            "penalty": _short(tenth.penalty),
            "seconds": round(between - begun, 2),
        },
        "folds": {
            "test": accuracy(found.final),
            "penalty": _short(found.penalty),
            "validation": round(float((found.held_out.argmax(1) == rows.targets[0]).float().mean()), 6),
            "seconds": round(ended - between, 2),
        },
        "path": path,
    }


def _short(value: float) -> float:
    """Three digits are enough to tell penalties apart."""
    return float(f"{value:.3g}")


def chosen(row: dict[str, Any], rule: str) -> float:
    """The test accuracy of the penalty on the folds' path that a rule takes.

    accuracy: the most accurate, of equals that with the least loss; loss: that with the least loss; both: that with the
    least loss of those within a standard error of the most accurate; hindsight: the best on the test data.
    """
    path = row["path"]
    most = max(accuracy for _, accuracy, _, _ in path)
    error = (most * (1 - most) / row["examples"]) ** 0.5
    if rule == "hindsight":
        return max(float(test) for *_, test in path)
    if rule == "loss":
        return float(min(path, key=lambda point: point[2])[3])
    least = most - (error if rule == "both" else 1e-9)
    return float(min((point for point in path if point[1] >= least), key=lambda point: point[2])[3])


def run(names: Sequence[str], sizes: Sequence[int], draws: Sequence[int]) -> None:
    """Adds the rows that are missing."""
    known = rows_found()
    for n in sizes:
        for name in names:
            features = load(name)
            if n > len(features.classes) * 0.8:
                continue
            for seed in draws:
                key = {"set": name, "n": n, "draw": seed}
                if any(key.items() <= row.items() for row in known):
                    continue
                known.append({**key, **measured(features, n, seed)})
                files.write_text(RESULT, "[\n" + ",\n".join(map(json.dumps, known)) + "\n]\n")  # a line a row
                print(json.dumps(known[-1]), flush=True)


def rows_found() -> list[dict[str, Any]]:
    """The rows that are there."""
    return list(json.loads(RESULT.read_text())) if RESULT.exists() else []


def interval(differences: Sequence[float]) -> str:
    """Mean with the 95 % interval that t gives, in points."""
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"{100 * mean:+.2f}"
    half = float(t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{100 * mean:+.2f} ({100 * (mean - half):+.2f} to {100 * (mean + half):+.2f})"


def render() -> str:
    """The page."""
    by_case: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows_found():
        by_case[SIZES.index(row["n"]), row["set"]].append(row)
    columns = ("examples", "set", "a tenth", "folds", "folds minus a tenth", *RULES, "out of fold", "seconds")
    lines = ["# How the penalty of a linear probe is chosen", "", *textwrap.wrap(TOLD, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    gains: dict[int, list[list[float]]] = defaultdict(list)
    for (place, name), rows in sorted(by_case.items(), key=lambda item: (item[0][0], list(sets()).index(item[0][1]))):
        mean = [statistics.mean(row[way]["test"] for row in rows) for way in ("tenth", "folds")]
        gain = [row["folds"]["test"] - row["tenth"]["test"] for row in rows]
        others = [statistics.mean(chosen(row, rule) - row["tenth"]["test"] for row in rows) for rule in RULES]
        gains[place].append([statistics.mean(gain), *others])
        held = statistics.mean(row["folds"]["validation"] for row in rows)
        seconds = [statistics.median(row[way]["seconds"] for row in rows) for way in ("tenth", "folds")]
        cells = [f"{rows[0]['examples']:,}", name, *(f"{value:.4f}" for value in mean), interval(gain)]
        cells += [f"{100 * other:+.2f}" for other in others]
        lines.append(f"| {' | '.join(cells)} | {held:.4f} | {seconds[0]:.1f} / {seconds[1]:.1f} |")
    for place, found in sorted(gains.items()):
        n = f"{SIZES[place]:,}" if SIZES[place] else "all"
        first, *others = zip(*found, strict=True)
        means = [f"{100 * statistics.mean(other):+.2f}" for other in others]
        lines.append(f"| {n} | mean of {len(found)} sets | | | {interval(first)} | {' | '.join(means)} | | |")
    return "\n".join(lines) + "\n"


TOLD = """`python -m benchmarks.probe_choice run`, then `render`. Test accuracy of exact linear probes on the features
of benchmarks/probe_sets.py; mean of the draws; differences from a tenth are paired by draw, in points, with the 95 %
interval of t over the draws (over the sets in the last rows). A tenth: held out, it chooses the penalty by its
accuracy, then the head is refitted on everything; this was the rule up to version 0.1. Folds: five, as the default has
them. The next columns are the differences that other rules would have made of the same folds: the most accurate
penalty; the least log loss; the least loss within a standard error of the most accurate; the best on the test data. Out
of fold: the accuracy that is reported as validation's. Seconds: of a tenth and of folds, other work beside them."""


def main() -> None:
    """`run` or `render`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("run", "render"))
    parser.add_argument("--set", nargs="*", choices=tuple(sets()), default=list(sets()), help="with run: these alone")
    parser.add_argument("--n", nargs="*", type=int, choices=SIZES, default=SIZES, help="with run: these alone; 0: all")
    parser.add_argument("--draws", nargs="*", type=int, default=list(DRAWS), help="with run: these alone")
    given = parser.parse_args()
    if given.verb == "run":
        run(given.set, given.n, given.draws)
    else:
        PAGE.write_text(render())
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
