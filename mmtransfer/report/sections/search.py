"""What `auto` has tried: every trial, how far it came, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mmtransfer import documents
from mmtransfer.metrics.intervals import Estimate
from mmtransfer.report import charts
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import called
from mmtransfer.report.sections.base import Section, render

FILE = "auto.json"
FORM: Mapping[Any, documents.Form] = {
    "metric": {"name": str, "higher_is_better": bool},
    "seconds": {"budget": float, "spent": float},
    "trials": [
        {"number": int, "backbone": str, "way": str, "state": str, "why": str, "seconds": float, "rungs": [{}]},
    ],
    "missing": {str: str},
    "chosen": ({"trial": int}, None),
}


def make(evidence: Evidence) -> Section | None:
    """The trials, the best first; nothing where the run is not a search's."""
    path = evidence.place.path / FILE
    if not path.exists():
        return None
    try:
        found = documents.read_json(path, FORM)
    except (OSError, ValueError) as error:
        return Section("search", "The search", Markup("<p>{}</p>").format(f"auto.json cannot be read: {error}."))
    higher, name = found["metric"]["higher_is_better"], found["metric"]["name"]
    trials = sorted(found["trials"], key=lambda trial: _merit(trial, higher))
    rows = [(trial, _score(trial)) for trial in trials]
    chosen = (found.get("chosen") or {}).get("trial")
    body = render(
        "search.html",
        rows=rows,
        chosen=chosen,
        metric=called(name),
        seconds=found["seconds"],
        missing=found["missing"],
        chart=_chart(found, name),
        note=found.get("note") or "",
        of=len(trials),
        plan=found.get("plan"),
    )
    return Section("search", "The search", body)


def _score(trial: Mapping[str, Any]) -> Estimate:
    """The validation score of a trial, the last time that it was scored."""
    score = trial.get("validation") or {}
    return Estimate(*(score.get(key) for key in ("value", "low", "high")))


def _merit(trial: Mapping[str, Any], higher: bool) -> float:
    value = _score(trial).value
    return float("inf") if value is None else -value if higher else value


def _chart(found: Mapping[str, Any], metric: str) -> Markup | None:
    """The validation score of each trial by the steps of training, a line a trial."""
    lines = []
    for trial in found["trials"]:
        points = [
            (float(rung["steps"]), float(rung["value"])) for rung in trial["rungs"] if rung.get("value") is not None
        ]
        if points:
            lines.append((trial, points))
    values = [value for _, points in lines for _, value in points]
    if len(lines) < 2 or len({step for _, points in lines for step, _ in points}) < 2:
        return None
    x = charts.Axis("step", 0.0, max(step for _, points in lines for step, _ in points), spoken=lambda v: f"{v:,.0f}")
    y = charts.Axis.around(f"validation {called(metric)}", values)
    plot = charts.Plot(
        x, y, f"The validation scores of {len(lines)} trials by steps of training; the table lists them."
    )
    chosen = (found.get("chosen") or {}).get("trial")
    for trial, points in lines:
        colour = 1 if trial["number"] == chosen else 3
        plot.line(points, colour)
        for step, value in points:
            plot.dot(step, value, colour, f"{trial['backbone']}, {trial['way']}: {value:.4f} after step {step:.0f}", 3)
    return plot.svg()
