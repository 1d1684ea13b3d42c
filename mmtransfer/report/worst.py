"""The most wrong answers as rows of text, for a terminal or a table."""

from __future__ import annotations

from typing import Any, NamedTuple

from mmtransfer.data.file import location
from mmtransfer.errors import MMTransferError
from mmtransfer.report.answers import Answers
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.inputs import Inputs


class Worst(NamedTuple):
    """A wrong answer."""

    id: str
    input: str
    """The text, or the path of the file; the id where that is all that is known."""
    truth: str
    answer: str
    confidence: float | None
    """How sure the model was, 0 to 1; None where that is not known."""


def worst(evidence: Evidence, n: int = 20) -> list[Worst]:
    """The n most wrong answers, the worst first; fewer where fewer are wrong.

    Raises MMTransferError for a run without predictions, and for a number below 1.
    """
    if n < 1:
        raise MMTransferError(f"-n must be 1 or more, not {n}", f"-n {n}", "change the value")
    answers = evidence.answers
    if answers is None:
        again = f"mmtransfer evaluate {evidence.place.path} --test DATA scores it"
        raise MMTransferError(evidence.missing.rstrip("."), str(evidence.place.path), again)
    places = [place for place in answers.order.tolist() if not answers.right[place]]
    return [_row(evidence, answers, place) for place in places[:n]]


def _row(evidence: Evidence, answers: Answers, place: int) -> Worst:
    id = evidence.ids[place]
    sure = None if answers.confidence is None else float(answers.confidence[place])
    truth, answer = (answers.spoken(own[place]) for own in (answers.truths, answers.answers))
    return Worst(id, _spoken(evidence.inputs, id), truth, answer, sure)


def _spoken(inputs: Inputs, id: str) -> str:
    """An input as text."""
    row: dict[str, Any] = dict(inputs.of(id) or {})
    value = row.get(inputs.kind)
    if value is None:
        return id
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, str):
        return value if row.get("pair") is None else f"{value} — {row['pair']}"
    return id if value["path"] is None else location(value, f"{id}, part of a file")
