"""The picture of the README: few examples, transfer beside scratch, every run a point.

    python -m benchmarks.suite run --tier few
    python -m benchmarks.picture              # writes benchmarks/few.png

Needs matplotlib (the extra `benchmarks`).
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of what draws)

from benchmarks import suite  # noqa: E402

COLOURS = {"transfer": "#1b6ca8", "scratch": "#b0b0b0"}


def results(row: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By variant, the result.json of every run of a row."""
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in COLOURS}
    for variant, _, settings in suite.variants(row):
        found[variant].append(json.loads((Path(settings["out"]) / "result.json").read_text()))
    return found


def draw(path: Path) -> None:
    """A panel a row of the tier `few`: the mean as a bar, runs as points with the 95 % interval of each."""
    rows = suite.rows("few")
    figure, panels = plt.subplots(1, len(rows), figsize=(9.0, 2.9), layout="constrained")
    for panel, row in zip(panels, rows, strict=True):
        for place, (variant, runs) in enumerate(results(row).items()):
            name, split = runs[0]["primary"]["name"], runs[0]["primary"]["split"]
            scores = [run["metrics"][split][name] for run in runs]
            mean = statistics.fmean(score["value"] for score in scores)
            panel.bar(place, mean, 0.7, color=COLOURS[variant], zorder=1)
            panel.annotate(f"{mean:.3f}", (place, 0.03), xycoords=("data", "axes fraction"), ha="center", color="white")
            for number, score in enumerate(scores):
                x = place + 0.16 * (number - (len(scores) - 1) / 2)
                low, high = score["value"] - score["low"], score["high"] - score["value"]
                panel.errorbar(x, score["value"], [[low], [high]], fmt="o", ms=3, lw=1, color="#222222", zorder=2)
        better = "higher is better" if name == "accuracy" else "lower is better"
        panel.set_title(row["data"], fontsize=9)
        panel.set_ylabel(f"test {name.upper() if name == 'wer' else name} ({better})", fontsize=8)
        panel.set_xticks(range(len(COLOURS)), ["built-in backbone", "random weights"], fontsize=8)
        panel.set_ylim(0, 1.05)
        panel.tick_params(axis="y", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    try:
        draw(suite.HERE / "few.png")
    except FileNotFoundError as error:
        raise SystemExit(f"no finished run: {error.filename}; python -m benchmarks.suite run --tier few") from None
