"""How training went: loss by step, the validation score by epoch, the rate; of an exact head the path of penalties."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mmtransfer.report import charts
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import called
from mmtransfer.report.sections.base import Section, render

POINTS = 500


def log_of(evidence: Evidence) -> list[Mapping[str, Any]]:
    """Lines of log.jsonl with a step and a loss; those that a crash has torn are left out."""
    try:
        lines = evidence.place.log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            row = json.loads(line)
            found.append({key: float(row[key]) for key in ("step", "loss", "lr")})
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return found


def make(evidence: Evidence) -> Section | None:
    """A chart for each of what is known."""
    lines, phases = log_of(evidence), evidence.result.get("phases") or []
    plots = [_loss(lines, phases), _scores(evidence, phases), _rate(lines)]
    plots += [_path(evidence, phase) for phase in phases]
    made = [plot for plot in plots if plot is not None]
    if not made:
        return None
    return Section("curves", "How it learned", render("curves.html", charts=made, phases=phases))


def _loss(lines: Sequence[Mapping[str, Any]], phases: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Training loss by step, and the validation loss where it is known."""
    points = _thinned([(line["step"], line["loss"]) for line in lines])
    if len(points) < 2:
        return None
    validated = [(row["steps"], row["loss"]) for row in validations(phases) if row.get("loss") is not None]
    values = [value for _, value in (*points, *validated)]
    x = charts.Axis("step", 0.0, max(step for step, _ in points), spoken=_whole)
    told = f"Training loss from {points[0][1]:.3g} to {points[-1][1]:.3g} in {points[-1][0]:.0f} steps."
    plot = charts.Plot(x, charts.Axis.around("loss", [0.0, *values]), told)
    plot.line(points, 1)
    if validated:
        plot.line(validated, 2)
        for step, loss in validated:
            plot.dot(step, loss, 2, f"validation loss {loss:.4g} after step {step:.0f}", 3)
    return _captioned(plot, "Training loss" + (", and validation loss (dots)" if validated else ""))


def validations(phases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Epoch, steps of all phases, value and loss of each validation; runs of earlier versions have none."""
    found, before = [], 0
    for phase in phases:
        for row in phase.get("validations") or []:
            found.append({**row, "steps": before + row["steps"]})
        before += int(phase.get("steps") or 0)
    return found


def _scores(evidence: Evidence, phases: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The validation score by step."""
    points = [(float(row["steps"]), float(row["value"])) for row in validations(phases) if row["value"] is not None]
    if len(points) < 2:
        return None
    name = called(evidence.primary)
    x = charts.Axis("step", 0.0, points[-1][0], spoken=_whole)
    told = f"Validation {name} from {points[0][1]:.3g} to {points[-1][1]:.3g}."
    plot = charts.Plot(x, charts.Axis.around(name, [value for _, value in points]), told)
    plot.line(points, 2)
    for step, value in points:
        plot.dot(step, value, 2, f"{name} {value:.4f} after step {step:.0f}", 3)
    return _captioned(plot, f"Validation {name}, after each epoch")


def _rate(lines: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The learning rate by step."""
    points = _thinned([(line["step"], line["lr"]) for line in lines])
    if len(points) < 2 or len({rate for _, rate in points}) < 2:
        return None
    x = charts.Axis("step", 0.0, max(step for step, _ in points), spoken=_whole)
    plot = charts.Plot(
        x, charts.Axis.around("rate", [0.0, *(rate for _, rate in points)]), "The learning rate by step."
    )
    plot.line(points, 3)
    return _captioned(plot, "Learning rate")


def _path(evidence: Evidence, phase: Mapping[str, Any]) -> Markup | None:
    """Of a head that is found exactly: the score of each penalty that was tried."""
    name = evidence.primary
    rows = [row for row in phase.get("path") or [] if row.get("penalty") and row.get(name) is not None]
    points = sorted((float(row["penalty"]), float(row[name])) for row in rows if row.get("scale") == phase.get("scale"))
    if len({penalty for penalty, _ in points}) < 2:
        return None
    x = charts.Axis.around("penalty", [penalty for penalty, _ in points], log=True, spoken=lambda value: f"{value:g}")
    y = charts.Axis.around(called(name), [value for _, value in points])
    plot = charts.Plot(x, y, f"The score of each of {len(points)} penalties; taken was {phase.get('penalty')}.")
    plot.line(points, 2)
    for penalty, value in points:
        taken = penalty == phase.get("penalty")
        plot.dot(penalty, value, 1 if taken else 2, f"penalty {penalty:.3g}: {value:.4f}", 5 if taken else 3)
    folds = phase.get("folds")
    where = f"in {folds} folds of the training data" if folds else "on validation data"
    return _captioned(
        plot, f"{called(name).capitalize()} of each penalty, {where}; the large dot is the one that was taken"
    )


def _captioned(plot: charts.Plot, words: str) -> Markup:
    return render("chart.html", chart=plot.svg(), words=words)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them, the last among these."""
    step = -(-len(points) // POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _whole(value: float) -> str:
    return f"{value:,.0f}"
