"""The score by parts of the data: by length, by how much there was to learn from, by group, by size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from mmtransfer.data import audio
from mmtransfer.data.file import openable
from mmtransfer.data.table import THREADS
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics.intervals import Score, Z
from mmtransfer.metrics.paired import holm
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.scoring import higher_is_better, score_of

PARTS = 4
"""Into which examples are cut by a number, as many in each."""
LEAST = 20
"""Examples of a cut below which it is left out: its intervals would say nothing."""
GROUPS = 20
"""Most groups that are listed, the largest ones."""
MANY_FILES = 20_000
"""Files whose headers are read for their sizes, at most."""
LEVEL = 0.05


@dataclass
class Slice:
    """A part of the examples and its score."""

    name: str
    n: int
    score: Score
    stands_out: str = ""
    """better or worse than the rest, where that is more than chance after counting all slices."""


@dataclass
class Cut:
    """The slices by one property."""

    title: str
    slices: list[Slice]
    note: str = ""


def cuts(evidence: Evidence) -> list[Cut]:
    """All that can be cut by; slices that stand out are marked."""
    found = [cut for make in (_lengths, _class_sizes, _groups) for cut in make(evidence)]
    _mark(evidence, found)
    return found


def _by_number(
    evidence: Evidence, title: str, values: np.ndarray, spoken: Callable[[float], str], note: str = ""
) -> list[Cut]:
    """Quarters by a number of each example; NaN where it is not known."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < LEAST:
        return []
    ends = np.unique(np.quantile(values[known], np.arange(1, PARTS) / PARTS))
    place = np.searchsorted(ends, values[known], side="left")
    rows = [known[place == number] for number in np.unique(place)]
    if len(rows) < 2:
        return []
    return _cut(evidence, title, [(_span(values[part], spoken), part) for part in rows], note)


def _span(values: np.ndarray, spoken: Callable[[float], str]) -> str:
    low, high = spoken(float(values.min())), spoken(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _cut(evidence: Evidence, title: str, parts: Sequence[tuple[str, np.ndarray]], note: str = "") -> list[Cut]:
    answers = evidence.answers
    assert answers is not None  # who asks for slices has predictions
    scored = [(name, rows, score_of(evidence.primary, evidence.records, answers.right, rows)) for name, rows in parts]
    slices = [Slice(name, len(rows), score) for name, rows, score in scored if score is not None]
    return [Cut(title, slices, note)] if len(slices) > 1 else []


def _lengths(evidence: Evidence) -> list[Cut]:
    """By words of a text, seconds of a recording, pixels of a picture."""
    column = evidence.inputs.column
    values = [column.get(id) for id in evidence.ids]
    if evidence.input in ("text", "words"):
        words = [np.nan if v is None else float(len(v.split() if isinstance(v, str) else v)) for v in values]
        return _by_number(evidence, "Words", np.array(words), lambda x: f"{x:.0f}")
    if len(values) > MANY_FILES or all(value is None for value in values):
        return []
    measure = _seconds if evidence.input == "audio" else _pixels
    with ThreadPoolExecutor(THREADS) as threads:
        sizes = np.array(list(threads.map(measure, values)))
    if evidence.input == "audio":
        return _by_number(evidence, "Seconds", sizes, lambda x: f"{x:.1f} s")
    return _by_number(
        evidence, "Size of the picture", sizes, lambda x: f"{x:.0f} px", "The shorter side, as it lies on disk."
    )


def _seconds(value: Any) -> float:
    try:
        return float("nan") if value is None else audio.seconds(value)
    except MMTransferError:
        return float("nan")


def _pixels(value: Any) -> float:
    from PIL import Image

    try:
        with Image.open(openable(value)) as image:
            return float(min(image.size))
    except Exception:  # of broken files Pillow's formats raise anything
        return float("nan")


def _class_sizes(evidence: Evidence) -> list[Cut]:
    """By how many training examples the true class has."""
    counts = evidence.class_sizes
    if counts is None or evidence.kind != "label":
        return []
    sizes = np.array([float(counts.get(truth, 0)) for truth in evidence.records["target"]])
    note = "How many training examples the true class had."
    return _by_number(evidence, "Training examples of the class", sizes, lambda x: f"{x:.0f}", note)


def _groups(evidence: Evidence) -> list[Cut]:
    """By speaker, patient, author, ..."""
    known: Mapping[str, str | None] = evidence.inputs.groups
    if not known and "speaker" in evidence.records:
        known = dict(zip(evidence.ids, evidence.records["speaker"], strict=True))
    rows: dict[str, list[int]] = {}
    for place, id in enumerate(evidence.ids):
        name = known.get(id)
        if name is not None:
            rows.setdefault(str(name), []).append(place)
    if len(rows) < 2 or len(rows) > len(evidence.ids) / 2:
        return []
    largest = sorted(rows, key=lambda name: (-len(rows[name]), name))[:GROUPS]
    title = "Speaker" if evidence.input == "audio" else (evidence.config.group_column or "Group")
    note = f"The {GROUPS} largest of {len(rows):,}." if len(rows) > GROUPS else ""
    return _cut(evidence, title, [(name, np.array(rows[name])) for name in sorted(largest)], note)


def _mark(evidence: Evidence, found: Sequence[Cut]) -> None:
    """Marks slices that differ from the whole's other examples by more than chance, all slices counted (Holm 1979).

    The difference to the rest is taken as normal, with the errors that the two intervals have.
    """
    answers = evidence.answers
    assert answers is not None
    whole = score_of(evidence.primary, evidence.records, answers.right, np.arange(len(answers)))
    if whole is None or whole.value is None:
        return
    better = 1 if higher_is_better(evidence.primary, evidence.records) else -1
    slices = [own for cut in found for own in cut.slices]
    tested = [_against_rest(own, whole, len(answers)) for own in slices]
    for own, test, p in zip(slices, tested, holm([None if t is None else t[1] for t in tested]), strict=True):
        if test is not None and p is not None and p < LEVEL:
            own.stands_out = "better" if better * test[0] > 0 else "worse"


def _against_rest(own: Slice, whole: Score, n: int) -> tuple[float, float] | None:
    """Difference to the other examples, and p; None where there is no interval."""
    score = own.score
    if score.low is None or score.high is None or whole.low is None or whole.high is None or own.n >= n:
        return None
    assert score.value is not None and whole.value is not None
    share = own.n / n
    rest = (whole.value - share * score.value) / (1 - share)
    error = (score.high - score.low) / (2 * Z)
    whole_error = (whole.high - whole.low) / (2 * Z)
    deviation = float(np.hypot(error, whole_error / np.sqrt(1 - share)))
    return (score.value - rest, float(2 * norm.sf(abs(score.value - rest) / deviation))) if deviation > 0 else None
