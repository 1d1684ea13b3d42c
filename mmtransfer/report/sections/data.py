"""What was trained and tested on."""

from __future__ import annotations

from mmtransfer.report.evidence import Evidence
from mmtransfer.report.sections.base import Section, render

SKIPPED = 20


def make(evidence: Evidence) -> Section | None:
    """A row a split, classes and their sizes, what was left out."""
    data = evidence.result.get("data") or {}
    if not data:
        return None
    sizes = evidence.class_sizes if evidence.kind in ("label", "labels") else None
    skipped = [(split, one) for split, own in data.items() for one in own.get("skipped") or []]
    facts = []
    if sizes:
        least, most = min(sizes, key=lambda name: (sizes[name], name)), max(sizes, key=lambda name: (sizes[name], name))
        facts.append(
            f"{len(sizes):,} classes in training, from {sizes[least]:,} examples ({least}) to {sizes[most]:,} ({most})."
        )
    body = render("data.html", data=data, facts=facts, skipped=skipped[:SKIPPED], of=len(skipped))
    return Section("data", "Data", body)
