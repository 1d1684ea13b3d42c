"""How far can probabilities of a linear probe be believed, before and after its temperature?

    python -m benchmarks.probe_sets       # features, once; needs $MMTRANSFER_DATA, see benchmarks/data.md
    python -m benchmarks.calibration      # writes benchmarks/calibration.md; --set TREC ...: of these

The temperature is fitted on the outputs that the folds held out, as `fit` does it; the test data are looked at once.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
from scipy.special import softmax

from benchmarks.probe_choice import drawn
from benchmarks.probe_sets import load, sets
from mmtransfer.metrics import of_probabilities
from mmtransfer.metrics.intervals import Score
from mmtransfer.probe import deal, solve
from mmtransfer.strategies.probe import FOLDS
from mmtransfer.tasks.targets import temperature

PAGE = Path(__file__).parent / "calibration.md"
TOLD = """`python -m benchmarks.calibration`. Exact linear probes, chosen by folds, on the features of
benchmarks/probe_sets.py; scores of the test data with their 95 % intervals. No temperature: fewer than 100 examples, or
than 10 mistakes among those that the folds held out, do not tell how sure a model may be."""


def scored(logits: np.ndarray, true: np.ndarray) -> list[Score]:
    """Calibration error, likelihood and Brier score."""
    found = of_probabilities(softmax(logits.astype(np.float64), 1), true)
    return [metric.scores()[name] for name, metric in found.items()]


def line(name: str, n: int) -> str:
    """The line of a set; `n`: examples to train on, 0 for all."""
    features = load(name)
    places = drawn(features.classes.numpy(), n, 0)
    rows = features.rows(places)
    found = solve(rows, folds=deal(rows, [str(place) for place in places], FOLDS, 0))
    assert found.held_out is not None
    fitted = temperature.fitted(found.held_out.numpy(), rows.targets[0].numpy())
    logits, true = found.final(features.test).numpy(), features.answers.numpy()
    before, after = scored(logits, true), scored(logits / (fitted or 1.0), true)
    accuracy = float((logits.argmax(1) == true).mean())
    cells = [f"{name}, {len(places):,}", f"{accuracy:.4f}", "none" if fitted is None else f"{fitted:.2f}"]
    for one, other in zip(before, after, strict=True):
        cells += [str(one), str(other)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="*", choices=tuple(sets()), default=list(sets()))
    given = parser.parse_args()
    columns = ["set, examples", "accuracy", "temperature"]
    for name in ("ECE", "NLL", "Brier"):
        columns += [f"{name} before", "after"]
    lines = ["# Calibration of linear probes", "", *textwrap.wrap(TOLD, 120), ""]
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in given.set:
        for n in (200, 0):
            lines.append(line(name, n))
            print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
