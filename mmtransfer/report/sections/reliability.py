"""How far confidence can be believed: how often answers are right, by how sure the model was."""

from __future__ import annotations

import numpy as np

from mmtransfer.metrics.intervals import Score, wilson
from mmtransfer.report import charts, html
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, digits, render

TITLE = "Can its confidence be believed?"
BINS = 10


def bins(confidence: np.ndarray, right: np.ndarray) -> list[tuple[float, Score]]:
    """(mean confidence, share that is right), in parts of as many decisions each; equal confidences stay together."""
    ends = np.unique(np.quantile(confidence, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    place = np.searchsorted(ends, confidence)
    parts = [place == number for number in np.unique(place)]
    return [(float(confidence[part].mean()), wilson(int(right[part].sum()), int(part.sum()))) for part in parts]


def make(evidence: Evidence) -> Section | None:
    """The diagram, and the calibration error in words; or why there is none."""
    answers = evidence.answers
    if answers is None:
        return None
    known = answers.reliability()
    if known is None or not len(known[0]):
        why = answers.unsure if known is None else "There is no answer that it could have been sure of."
        return Section("reliability", TITLE, html.element("p", why))
    found = bins(*known)
    axis = charts.Axis("confidence", 0.0, 1.0, spoken=lambda value: f"{value:.1f}")
    plot = charts.Plot(axis, charts.Axis("share that is right", 0.0, 1.0), _told(found))
    plot.line([(0, 0), (1, 1)], 3, dashed=True)
    for sure, score in found:
        assert score.value is not None and score.low is not None and score.high is not None  # no part is empty
        plot.whisker(sure, score.low, score.high, 1)
        words = f"confidence {sure:.2f}: {score.value:.2f} right ({score.low:.2f} to {score.high:.2f}), {score.n:,}"
        plot.dot(sure, score.value, 1, words)
    words = _words(evidence, found, answers.decided)
    return Section("reliability", TITLE, render("chart.html", chart=plot.svg(), words=words))


def _told(found: list[tuple[float, Score]]) -> str:
    parts = "; ".join(f"at {sure:.2f} {score.value:.2f}" for sure, score in found)
    return f"Reliability diagram, confidence and how often it was right: {parts}."


def _words(evidence: Evidence, found: list[tuple[float, Score]], decided: str) -> str:
    n = sum(score.n for _, score in found)
    gap = sum(score.n * (sure - (score.value or 0.0)) for sure, score in found) / n
    if abs(gap) < 0.01:
        said = "On average it is as sure as it is right."
    else:
        said = f"On average it is {'surer' if gap > 0 else 'less sure'} than right, by {abs(gap):.3f}."
    error = evidence.scores.get("ece")
    if error and error["value"] is not None:
        score = Score.of(error)
        interval = "" if score.low is None else f" ({digits(score.low)} to {digits(score.high)})"
        said += f" Expected calibration error: {digits(score.value)}{interval}."
    said += " Dots below the dashed line: it is too sure there; above: not sure enough. Lines are 95 % intervals."
    return f"{said} Counted are {n:,} {decided}."
