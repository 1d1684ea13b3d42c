"""Each class: how often it is found, and how far its answers can be trusted, with intervals."""

from __future__ import annotations

from mmtransfer.metrics.intervals import Estimate, Score, wilson
from mmtransfer.report.answers import Counts
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, render

MOST = 500
"""Rows of the table, the classes with the lowest recall first."""


def make(evidence: Evidence) -> Section | None:
    """A row a class, the least found first."""
    answers = evidence.answers
    counts = answers.counts() if answers is not None else []
    if answers is None or not counts:
        return None
    sizes = evidence.class_sizes
    rows = [(one, wilson(one.hits, one.truths), wilson(one.hits, one.answers), _f1(evidence, one)) for one in counts]
    rows.sort(key=lambda row: (row[1].value if row[1].value is not None else 2.0, -row[0].truths, row[0].name))
    body = render(
        "classes.html",
        rows=rows[:MOST],
        of=len(rows),
        sizes=sizes,
        called=answers.called,
        linked=answers.kind == "label",
        intervals=any(row[3].low is not None for row in rows),
    )
    title = {"class": "Each class", "label": "Each label", "tag": "Each tag", "type": "Each type"}[answers.called]
    return Section("classes", title, body)


def _f1(evidence: Evidence, one: Counts) -> Estimate:
    """F1, with the interval that the run has made of it where it has."""
    for name in (f"f1[{one.name}]", f"entity_f1[{one.name}]", f"tag_f1[{one.name}]"):
        if name in evidence.scores:
            return Score.of(evidence.scores[name])
    whole = one.truths + one.answers
    return Estimate(2 * one.hits / whole if whole else None, None, None)
