"""The page and the chart, from what was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.first_screen.contestants import BEST, CONTESTANTS, DEFAULTS, LOOP, OURS, PAIRS
from mmtransfer.metrics.intervals import Score, wilson

HERE = Path(__file__).parents[1]
PAGE, CHART = HERE / "first_screen.md", HERE / "first_screen.png"
COLOURS = {OURS: "#1b6ca8", DEFAULTS: "#9a9a9a", BEST: "#555555", LOOP: "#d9822b", PAIRS: "#3c9a6c"}
MARKS = {OURS: "o", DEFAULTS: "s", BEST: "D", LOOP: "^", PAIRS: "v"}
ABOUT = (
    "BANKING77: 77 kinds of question to a bank. 10 training sentences of each (770), all 3,080 test sentences; the "
    "network is all-MiniLM-L6-v2 for everybody. Seconds are of the whole process, from its start to the scored test "
    "set. The chart has seconds of CPU: other work shared the machine, and with one core to itself a process takes as "
    "long by the clock. One run each; intervals are Wilson's, 95 %, over the test sentences.",
    "`mmtransfer` has its default settings, and once (`their rate`) the rate and the epochs of Trainer at its best. "
    "Trainer at its defaults is what `TrainingArguments()` gives. At its best it has batches of 32 grouped by length, "
    "bf16 (which not every CPU that has it computes faster) and fused AdamW. The plain loop is written with PyTorch "
    "alone, in fp32. Both take the best of three rates, chosen on training sentences held out (below); the time of "
    "that choice is not counted.",
    "`after SetFit` is our own short writing of the published method (Tunstall et al. 2022), not the package `setfit`. "
    "R pairs of the same class and R of different classes for each sentence train the network at the published rate, "
    "then logistic regression learns the classes. The paper has R = 20.",
)


def render(found: Mapping[str, Any]) -> None:
    """Writes both; contestants without a run are named as missing."""
    draw(found["runs"])
    PAGE.write_text(page(found), encoding="utf-8")


def score(run: Mapping[str, Any]) -> Score:
    """The accuracy of a run, with its interval."""
    return wilson(run["right"], run["of"])


def page(found: Mapping[str, Any]) -> str:
    """The page as Markdown, fastest first."""
    runs = found["runs"]
    lines = ["# Accuracy against time", "", "`python -m benchmarks.first_screen rates`, then `run`, then `render`.", ""]
    lines += ["![Test accuracy against seconds](first_screen.png)", ""]
    for paragraph in ABOUT:
        lines += [*textwrap.wrap(paragraph, 120), ""]
    lines += ["| | setting | rate | seconds of CPU | by the clock | test accuracy (95 %) |", "|---" * 6 + "|"]
    for name in sorted(runs, key=lambda name: float(runs[name]["cpu_seconds"])):
        run, one = runs[name], CONTESTANTS[name]
        rate = "default" if run["rate"] is None else f"{run['rate']:g}"
        seconds = f"{run['cpu_seconds']:.0f} | {run['seconds']:.0f}"
        lines.append(f"| {one.group} | {one.about} | {rate} | {seconds} | {score(run):.4f} |")
    missing = [f"{one.group}, {one.about}" for name, one in CONTESTANTS.items() if name not in runs]
    if missing:
        lines += ["", *textwrap.wrap(f"Not measured yet: {'; '.join(missing)}.", 120)]
    machines = sorted({run["machine"] for run in runs.values()})
    lines += ["", *textwrap.wrap(f"Machine: {'; or '.join(machines)}.", 120), "", "## The peers' rate", ""]
    told = (
        "Of Trainer at its best, 5 epochs: accuracy on two sentences of each class after training on the other eight."
    )
    lines += [told, "", "| rate | accuracy |", "|---|---|"]
    lines += [f"| {float(rate):g} | {value:.3f} |" for rate, value in found["rates"].items()]
    return "\n".join(lines) + "\n"


def draw(runs: Mapping[str, Any]) -> None:
    """Accuracy against seconds, the latter by powers; points of a peer joined. White behind it, so that it can be read
    on a dark page too."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(7.0, 4.2), layout="constrained", facecolor="white")
    for group, colour in COLOURS.items():
        names = [name for name, one in CONTESTANTS.items() if one.group == group and name in runs]
        if not names:
            continue
        names.sort(key=lambda name: float(runs[name]["cpu_seconds"]))
        scores, own = [score(runs[name]) for name in names], group == OURS
        x, y = [runs[name]["cpu_seconds"] for name in names], [one.value for one in scores]
        spread = [[one.value - one.low for one in scores], [one.high - one.value for one in scores]]
        line = MARKS[group] if own else f"{MARKS[group]}-"
        panel.errorbar(x, y, spread, color=colour, fmt=line, ms=8 if own else 5, lw=2 if own else 1.2, label=group)
    longest = max(run["cpu_seconds"] for run in runs.values())
    ticks = [seconds for seconds in (10, 20, 30, 60, 120, 300, 600) if seconds < 2 * longest]
    panel.set_xscale("log")
    panel.set_xticks(ticks, [f"{seconds} s" if seconds < 60 else f"{seconds // 60} min" for seconds in ticks])
    panel.minorticks_off()
    panel.set_xlim(10, 1.7 * longest)
    panel.set_ylim(0, 1)
    panel.set_xlabel("seconds of CPU, from the start of the process to the scored test set", fontsize=9)
    panel.set_ylabel("test accuracy", fontsize=9)
    panel.set_title("10 sentences of each of 77 classes, MiniLM, one CPU core", fontsize=10, loc="left")
    panel.legend(fontsize=8.5, loc="lower left", frameon=False)
    panel.grid(axis="y", color="#e6e6e6", lw=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8.5)
    panel.spines[["top", "right"]].set_visible(False)
    label(figure, panel, runs)
    figure.savefig(CHART, dpi=200, metadata={"Software": None})
    plt.close(figure)


def label(figure: Any, panel: Any, runs: Mapping[str, Any]) -> None:
    """Writes the setting and the score beside each point: where neither another point nor another label is, if there is
    such a place."""
    from matplotlib.transforms import Bbox

    figure.canvas.draw()  # before it nothing has a place
    places = {name: (run["cpu_seconds"], run["right"] / run["of"]) for name, run in runs.items()}
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in map(panel.transData.transform, places.values())]
    for name in sorted(runs, key=lambda name: CONTESTANTS[name].group != OURS):
        one = CONTESTANTS[name]
        about = {"color": COLOURS[one.group], "fontsize": 8, "fontweight": "bold" if one.group == OURS else "normal"}
        tried = []
        for across, up in ((6, 4), (6, -24), (-6, 4), (-6, -24), (6, 26), (6, -46)):
            text = panel.annotate(
                f"{one.about}\n{places[name][1]:.3f}",
                places[name],
                xytext=(across, up),
                textcoords="offset points",
                ha="left" if across > 0 else "right",
                **about,
            )
            box = text.get_window_extent()
            tried.append(
                (sum(box.overlaps(other) for other in taken) + (box.x1 > panel.bbox.x1), len(tried), text, box)
            )
        best = min(tried, key=lambda one: one[:2])
        for *_, text, _ in tried:
            if text is not best[2]:
                text.remove()
        taken.append(best[3])
