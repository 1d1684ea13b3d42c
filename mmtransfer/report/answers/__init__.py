"""What a run has answered, by the kind of its answers: what is wrong, how wrong, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmtransfer.report.answers.base import Answers, Counts, Pair
from mmtransfer.report.answers.label import LabelAnswers
from mmtransfer.report.answers.labels import LabelSetAnswers
from mmtransfer.report.answers.tags import TagAnswers
from mmtransfer.report.answers.transcript import TranscriptAnswers
from mmtransfer.report.answers.value import ValueAnswers

if TYPE_CHECKING:
    from mmtransfer.report.evidence import Evidence

KINDS: Mapping[str, type[Answers]] = {
    "label": LabelAnswers,
    "labels": LabelSetAnswers,
    "value": ValueAnswers,
    "tags": TagAnswers,
    "transcript": TranscriptAnswers,
}


def of(evidence: Evidence) -> Answers:
    """The answers of a run that has predictions."""
    return KINDS[evidence.kind](evidence.records, lambda: evidence.logits, evidence.names)


__all__ = ["Answers", "Counts", "Pair", "of"]
