"""What has come out, in one sentence with its interval."""

from __future__ import annotations

from collections import Counter

from mmtransfer.metrics.intervals import Score
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import called
from mmtransfer.report.sections.base import Section, digits, render


def make(evidence: Evidence) -> Section:
    """The sentence, the other scores, what to bear in mind."""
    scores = {name: Score.of(score) for name, score in evidence.scores.items() if "[" not in name}
    few = [name for name in scores if name == evidence.primary or not name.endswith(("_micro", "_weighted"))]
    body = render(
        "verdict.html",
        sentence=sentence(evidence),
        beside=beside(evidence),
        scores=[(name, scores[name]) for name in few],
        unit={name for name, score in scores.items() if score.high is not None and 0 <= score.high <= 1},
        notes=_notes(evidence),
    )
    return Section("verdict", "Verdict", body)


def sentence(evidence: Evidence) -> str:
    """The score that decides, in words.

    Such as "Right on 936 of 1,444 test examples: accuracy 0.648 (0.623 to 0.672 with 95 % confidence)."
    """
    found = evidence.scores.get(evidence.primary)
    if found is None or found["value"] is None:
        return evidence.missing or "The run has not been scored: it was given no test data, and held none out."
    score, name = Score.of(found), called(evidence.primary)
    interval = "" if score.low is None else f" ({digits(score.low)} to {digits(score.high)} with 95 % confidence)"
    said = f"{name} {digits(score.value)}{interval}"
    answers, split = evidence.answers, evidence.split
    if evidence.primary in ("accuracy", "subset_accuracy") and answers is not None:
        return f"Right on {int(answers.right.sum()):,} of {len(answers):,} {split} examples: {said}."
    if evidence.primary == "wer":
        errors, recordings = round(float(score.value or 0.0) * score.n), f"{len(evidence.ids):,} {split} recordings"
        return f"{errors:,} word errors in {score.n:,} words of {recordings}: {said}."
    return f"On {len(evidence.ids):,} {split} examples: {said}."


def beside(evidence: Evidence) -> str:
    """What the score has to be measured against: what needs no model."""
    answers = evidence.answers
    if answers is None:
        return ""
    if evidence.kind == "label" and answers.truths:
        label, count = Counter(answers.truths).most_common(1)[0]
        worst = answers.pairs()[:1]
        most = (
            f" Most often wrong: {worst[0].truth!r} taken for {worst[0].answer!r}, {worst[0].times} times."
            if worst
            else ""
        )
        return f"Always answering {label!r} would be right on {digits(count / len(answers))} of them.{most}"
    if evidence.kind == "tags":
        return f"{int(answers.right.sum()):,} of {len(answers):,} sentences have every tag right."
    if evidence.kind == "transcript":
        return f"{int(answers.right.sum()):,} of {len(answers):,} recordings are heard without an error."
    return ""


def _notes(evidence: Evidence) -> list[str]:
    """What a reader has to know of the score."""
    notes = []
    if evidence.split == "validation":
        notes.append(
            "These examples chose the epoch or the settings, so the score is a little too good: there was no test data."
        )
    auto = evidence.result.get("auto")
    if isinstance(auto, dict) and auto.get("note"):
        notes.append(str(auto["note"]))
    if evidence.missing:
        notes.append(evidence.missing)
    findings = evidence.result.get("findings") or []
    notes += [str(finding["line"]) for finding in findings if isinstance(finding, dict) and finding.get("line")]
    notes += [str(line) for line in evidence.result.get("warnings") or []]
    return list(dict.fromkeys(notes))
