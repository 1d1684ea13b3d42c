"""What is taken for what: the most frequent pairs, and the confusion matrix or its worst block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from mmtransfer.metrics.intervals import wilson
from mmtransfer.report import charts, html
from mmtransfer.report.answers import Answers
from mmtransfer.report.answers.label import LabelAnswers
from mmtransfer.report.answers.value import ValueAnswers
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, render

LISTED = 30
WHOLE, BLOCK = 60, 25
"""Classes up to which the whole matrix is drawn, and how many of more."""
DOTS = 2000


def make(evidence: Evidence) -> Section | None:
    """Pairs and matrix; of numbers, answers against truths."""
    answers = evidence.answers
    if answers is None:
        return None
    if isinstance(answers, ValueAnswers):
        return Section("confusion", "Answers and truths", _scatter(answers))
    pairs = answers.pairs()
    if not pairs:
        return Section("confusion", "What is taken for what", Markup("<p>Nothing: every answer is right.</p>"))
    matrix, note, wide = _matrix(answers)
    rows = [(pair, wilson(pair.times, pair.of)) for pair in pairs[:LISTED]]
    body = render(
        "confusion.html",
        rows=rows,
        of=len(pairs),
        matrix=matrix,
        note=note,
        wide=wide,
        paired=answers.paired,
        linked=answers.kind == "label",
        blank="(nothing)",
    )
    return Section("confusion", "What is taken for what", body)


def _matrix(answers: Answers) -> tuple[Markup | None, str, float]:
    """The matrix of all classes, or of the worst block of many; what is to be said of it; its pixels from side to
    side."""
    if not isinstance(answers, LabelAnswers):
        return None, "", 0.0
    occurring = {*answers.truths, *answers.answers}
    names = [name for name in answers.classes if name in occurring]
    note = ""
    if len(names) > WHOLE:
        names = worst_block(answers, BLOCK)
        note = (
            f"The worst block: {len(names)} of {len(answers.classes):,} classes, those of the most frequent mistakes."
        )
    place = {name: number for number, name in enumerate(names)}
    of = Counter(answers.truths)
    cells = [
        (place[truth], place[answer], times)
        for (truth, answer), times in answers.matrix.items()
        if truth in place and answer in place
    ]
    told = (
        f"Confusion matrix of {len(names)} classes: rows are truths, columns answers. The table of pairs says the same."
    )
    totals = [of[name] for name in names]
    drawn = charts.heat([html.text(name) for name in names], sorted(cells), totals, told)
    return drawn, note, charts.wide(len(names))


def worst_block(answers: LabelAnswers, size: int) -> list[str]:
    """The classes of the most frequent mistakes, those that are taken for each other side by side."""
    chosen: list[str] = []
    for pair in answers.pairs():
        for name, other in ((pair.truth, pair.answer), (pair.answer, pair.truth)):
            if name not in chosen and len(chosen) < size:
                chosen.insert(chosen.index(other) + 1 if other in chosen else len(chosen), name)
        if len(chosen) >= size:
            break
    return chosen


def _scatter(answers: ValueAnswers) -> Markup:
    """Answers against truths, with the line on which they are equal."""
    order: Sequence[int] = answers.order[:DOTS].tolist()
    values = [float(value) for place in order for value in (answers.truths[place], answers.answers[place])]
    axis = charts.Axis.around("truth", values)
    plot = charts.Plot(
        axis, charts.Axis.around("answer", values), f"Answers against truths of {len(order):,} examples."
    )
    plot.line([(axis.low, axis.low), (axis.high, axis.high)], 3, dashed=True)
    for place in order:
        truth, answer = float(answers.truths[place]), float(answers.answers[place])
        plot.dot(truth, answer, 1, f"truth {truth:.5g}, answer {answer:.5g}", 2.5)
    words = "Each dot is an example; on the dashed line the answer is the truth."
    return render("chart.html", chart=plot.svg(), words=words)
