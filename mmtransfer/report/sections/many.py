"""Several runs side by side: which is best, what it costs, and what one gets right that another gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmtransfer.comparison import Comparison, Entry
from mmtransfer.metrics.intervals import Estimate
from mmtransfer.report import charts, html
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import called
from mmtransfer.report.sections.base import Section, digits, render
from mmtransfer.report.sections.costs import count

SHOWN = 12
"""Examples of a pair of configurations that are listed, of each kind."""
NAMED = 12
"""Dots of a chart that have their names beside them, at most."""
LONG = 160


def make(comparison: Comparison, evidence: Evidence) -> list[Section]:
    """The table with its verdicts, the chart of score and cost, the examples that decide.

    `evidence`: the run whose inputs are shown; all runs are scored on the same examples.
    """
    labels = comparison.labels()
    return [
        Section("runs", "Configurations side by side", _table(comparison, labels)),
        Section("cost", "Score and cost", _costs(comparison, labels)),
        *_decided(comparison, labels, evidence),
    ]


def verdict_of(comparison: Comparison) -> str:
    """What has come out, in one sentence."""
    best, metric = comparison.best, called(comparison.primary)
    low, high = best.interval(comparison.split, comparison.primary)
    score = Estimate(best.mean(comparison.split, comparison.primary), low, high)
    interval = "" if low is None or high is None else f" ({digits(low)} to {digits(high)} with 95 % confidence)"
    beaten = [verdict for verdict in comparison.verdicts if verdict.better == best.name]
    others = len(comparison.entries) - 1
    name = comparison.labels()[best.name]
    said = f"The best of {others + 1} is {name}: {metric} {digits(score.value)}{interval}"
    if others == 1:
        return f"{said}; that it is better than the other is {'shown' if beaten else 'not shown'}."
    against = len([verdict for verdict in beaten if best.name in (verdict.first, verdict.second)])
    many = f"all {others}" if against == others else f"{against or 'none'} of the {others}"
    return f"{said}; it is shown to be better than {many} others."


def _table(comparison: Comparison, labels: dict[str, str]) -> Any:
    rows = []
    ends: list[float] = []
    for entry in comparison.ranked:
        score = Estimate(
            entry.mean(comparison.split, comparison.primary), *entry.interval(comparison.split, comparison.primary)
        )
        ends += [end for end in (score.value, score.low, score.high) if end is not None]
        rows.append((entry, labels[entry.name], score, comparison.against_best(entry), entry.cost()))
    return render(
        "many.html",
        sentence=verdict_of(comparison),
        rows=rows,
        best=comparison.best.name,
        metric=called(comparison.primary),
        low=min(ends, default=0.0),
        high=max(ends, default=1.0),
        verdicts=[str(verdict) for verdict in comparison.verdicts],
        split=comparison.split,
        pairs=comparison.verdicts[0].comparisons,
        all_pairs=comparison.all_pairs,
        count=count,
    )


def _costs(comparison: Comparison, labels: dict[str, str]) -> Any:
    """Score by seconds and by trained parameters, the Pareto front as a line."""
    figures = [
        _pareto(comparison, labels, "seconds", "seconds of a run", lambda value: f"{value:g}"),
        _pareto(comparison, labels, "trainable", "trained parameters", count),
    ]
    return render("curves.html", charts=[figure for figure in figures if figure is not None], phases=[])


def _pareto(comparison: Comparison, labels: dict[str, str], key: str, told: str, spoken: Any) -> Any:
    better = 1 if comparison.verdicts[0].higher_is_better else -1
    points = []
    for entry in comparison.ranked:
        value, cost = entry.mean(comparison.split, comparison.primary), entry.cost()[key]
        if value is not None and cost > 0:
            points.append((cost, value, entry))
    if len({cost for cost, *_ in points}) < 2:
        return None
    front: list[tuple[float, float, Entry]] = []
    best = -np.inf
    for cost, value, entry in sorted(points, key=lambda point: (point[0], -better * point[1])):
        if better * value > best:
            best = better * value
            front.append((cost, value, entry))
    x = charts.Axis.around(told, [cost for cost, *_ in points], log=True, spoken=spoken)
    ends = [
        end for *_, entry in points for end in entry.interval(comparison.split, comparison.primary) if end is not None
    ]
    y = charts.Axis.around(called(comparison.primary), [*(value for _, value, _ in points), *ends])
    names = ", ".join(labels[entry.name] for *_, entry in front)
    plot = charts.Plot(x, y, f"{called(comparison.primary)} by {told}; none is better at less cost than: {names}.")
    plot.line([(cost, value) for cost, value, _ in front], 2, dashed=True)
    for cost, value, entry in points:
        low, high = entry.interval(comparison.split, comparison.primary)
        on_front = any(entry is own for *_, own in front)
        if low is not None and high is not None:
            plot.whisker(cost, low, high, 2 if on_front else 3)
        words = f"{labels[entry.name]}: {digits(value)}, {told} {spoken(cost)}"
        plot.dot(cost, value, 2 if on_front else 3, words, 5 if on_front else 4)
        if on_front and len(front) <= NAMED:
            plot.label(cost, value, _short(labels[entry.name]), "start" if x.share(cost) < 0.55 else "end")
    words = f"{called(comparison.primary).capitalize()} by {told}; on the dashed line nothing is better at less cost."
    return render("chart.html", chart=plot.svg(), words=words)


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"


def _decided(comparison: Comparison, labels: dict[str, str], evidence: Evidence) -> list[Section]:
    """Which examples the best gets right and another wrong, and the other way round."""
    others = [entry for entry in comparison.ranked if entry is not comparison.best]
    right = {entry.name: _right(entry) for entry in comparison.entries}
    if any(own is None for own in right.values()):
        return []
    pairs = []
    for entry in others:
        own, theirs = right[comparison.best.name], right[entry.name]
        assert own is not None and theirs is not None  # looked at above
        gained, lost = np.flatnonzero(own & ~theirs), np.flatnonzero(theirs & ~own)
        pairs.append(
            {
                "best": labels[comparison.best.name],
                "other": labels[entry.name],
                "counts": (int((own & theirs).sum()), len(gained), len(lost), int((~own & ~theirs).sum())),
                "gained": _examples(gained, comparison.best, entry, evidence),
                "lost": _examples(lost, comparison.best, entry, evidence),
            }
        )
    return [Section("decided", "Right in one, wrong in the other", render("decided.html", pairs=pairs, most=SHOWN))]


def _right(entry: Entry) -> np.ndarray | None:
    """bool (n,): whether the first run of an entry is right; None where answers are never wholly right."""
    records = entry.predictions[0]
    if {"substitutions", "deletions", "insertions"} <= records.keys():
        edits = zip(records["substitutions"], records["deletions"], records["insertions"], strict=True)
        return np.array([not any(own) for own in edits])
    if "prediction" not in records or isinstance(records["prediction"][0], float):
        return None
    return np.array([truth == said for truth, said in zip(records["target"], records["prediction"], strict=True)])


def _examples(rows: np.ndarray, first: Entry, second: Entry, evidence: Evidence) -> Sequence[dict[str, str]]:
    """Some of these examples: what it is, its truth, and what each says."""
    found = []
    for row in rows[:SHOWN].tolist():
        records, others = first.predictions[0], second.predictions[0]
        id = records["id"][row]
        value = evidence.inputs.column.get(id)
        text = " ".join(value) if isinstance(value, list) else value if isinstance(value, str) else id
        said = [records.get("prediction"), others.get("prediction")]
        spoken = [_cut(_text(own[row])) if own else "" for own in said]
        found.append(
            {
                "id": id,
                "text": _cut(text),
                "truth": _cut(_text(records["target"][row])) if "target" in records else "",
                "first": spoken[0],
                "second": spoken[1],
            }
        )
    return found


def _text(answer: Any) -> str:
    return ", ".join(map(str, answer)) if isinstance(answer, list) else str(answer)


def _cut(text: str) -> str:
    text = html.text(" ".join(text.split()))
    return text if len(text) <= LONG else f"{text[:LONG]} …"
