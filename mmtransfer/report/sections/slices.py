"""The score by parts of the data."""

from __future__ import annotations

from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import called
from mmtransfer.report.sections.base import Section, render
from mmtransfer.report.slices import cuts


def make(evidence: Evidence) -> Section | None:
    """Tables of slices; how many there are is said, because some differ by chance alone."""
    if evidence.answers is None or not evidence.primary:
        return None
    found = cuts(evidence)
    if not found:
        return None
    scores = [own.score for cut in found for own in cut.slices]
    ends = [side for score in scores for side in (score.value, score.low, score.high) if side is not None]
    unit = min(ends) >= 0 and max(ends) <= 1
    body = render(
        "slices.html",
        cuts=found,
        metric=called(evidence.primary),
        many=len(scores),
        low=0.0 if unit else min(ends),
        high=1.0 if unit else max(ends),
    )
    return Section("slices", "Parts of the data", body)
