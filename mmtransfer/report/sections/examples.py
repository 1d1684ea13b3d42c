"""The examples, the most wrong first: what was to be said, what was said, how sure, and the input itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmtransfer.report import html
from mmtransfer.report.answers import Answers
from mmtransfer.report.answers.label import LabelAnswers
from mmtransfer.report.answers.transcript import TranscriptAnswers
from mmtransfer.report.evidence import Evidence
from mmtransfer.report.media import Media
from mmtransfer.report.sections.base import Section, render

BARE, TEXTS = 600_000, 850_000
"""Bytes of the list without texts, and with them."""
MEDIA = {"image": 300, "audio": 80}
"""Pictures and recordings that are put into the page, the most wrong first."""
OF_PAIR = 4
"""Of these also the most wrong of each of the most frequent pairs."""
PAIRS = 20
LONG, SHORT, FIRST = 2000, 400, 200
"""Characters of a text that are kept: of the first ones, of the others; how many are first."""
EXTRA = 7
"""The column of a row that holds what else is shown of it."""
NAME = 200
"""Characters of an id that are kept."""


@dataclass
class Listed:
    """What the list on the page is made from."""

    data: dict[str, Any]
    media: Media = field(default_factory=Media)


def listed(evidence: Evidence, answers: Answers, more: Mapping[str, Mapping[str, Any]]) -> Listed:
    """The examples as JSON: columns of each row are id, truth, answer, confidence, badness, text, number of the medium.

    `more`: by id, what else is shown of an example, such as when words were said.
    """
    numbers = {name: place for place, name in enumerate(_names(answers))}
    rows, order, size = [], answers.order.tolist(), 0
    for place in order:
        row = _bare(evidence, answers, place, numbers)
        size += len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
        if size > BARE:
            break
        rows.append(row)
    order = order[: len(rows)]
    media = Media()
    if evidence.input in MEDIA:
        _add_media(evidence, answers, order, rows, media)
    else:
        _add_texts(evidence, order, rows, size)
    for number, (place, row) in enumerate(zip(order, rows, strict=True)):
        extra = dict(more.get(evidence.ids[place], {}))
        if number < FIRST and isinstance(answers, LabelAnswers):
            top = answers.likeliest(place)
            extra |= {"top": [[numbers[name], round(share, 4)] for name, share in top]} if top else {}
        if extra:
            row.append(extra)
    data = {
        "kind": answers.kind,
        "input": evidence.input,
        "names": [html.text(name) for name in numbers],
        "rows": rows,
        "of": len(answers),
        "right": [] if answers.kind == "value" else [int(answers.right[place]) for place in order],
        "worseBy": answers.worse_by,
    }
    return Listed(data, media)


def _names(answers: Answers) -> list[str]:
    """All labels or tags that occur."""
    if answers.kind == "label":
        return sorted({*answers.truths, *answers.answers, *answers.names})
    if answers.kind in ("labels", "tags"):
        return sorted({name for own in (*answers.truths, *answers.answers) for name in own})
    return []


def _bare(evidence: Evidence, answers: Answers, place: int, numbers: Mapping[str, int]) -> list[Any]:
    """A row without its input."""
    truth, answer = answers.truths[place], answers.answers[place]
    said: list[Any]
    if answers.kind == "label":
        said = [numbers[truth], numbers[answer]]
    elif answers.kind in ("labels", "tags"):
        said = [[numbers[name] for name in truth], [numbers[name] for name in answer]]
    elif isinstance(answers, TranscriptAnswers):
        aligned = answers.aligned[place]
        said = [[[html.text(a or "")] if a == b else [html.text(a or ""), html.text(b or "")] for a, b in aligned], 0]
    else:
        said = [float(f"{truth:.6g}"), float(f"{answer:.6g}")]
    sure = None if answers.confidence is None else round(float(answers.confidence[place]), 4)
    return [html.text(evidence.ids[place])[:NAME], *said, sure, round(float(answers.badness[place]), 4), 0, -1]


def _add_texts(evidence: Evidence, order: list[int], rows: list[list[Any]], size: int) -> None:
    """Puts in the texts, or lists of words, of as many as there is room for."""
    pairs = _seconds(evidence)
    for number, (place, row) in enumerate(zip(order, rows, strict=True)):
        id = evidence.ids[place]
        value = evidence.inputs.column.get(id)
        if value is None:
            continue
        if isinstance(value, list):
            row[5] = [html.text(word) for word in value]
        else:
            whole = value if id not in pairs else f"{value}\n— {pairs[id]}"
            limit = LONG if number < FIRST else SHORT
            row[5] = html.prose(whole if len(whole) <= limit else f"{whole[:limit]} …")
        size += len(json.dumps(row[5], ensure_ascii=False).encode("utf-8", "replace"))
        if size > TEXTS:
            row[5] = 0
            break


def _seconds(evidence: Evidence) -> dict[str, str]:
    """By id, the second texts of pairs."""
    table = evidence.inputs.table
    if table is None or "pair" not in table.rows.column_names:
        return {}
    values = table.column("pair")
    return {id: values[row] for id, row in evidence.inputs.rows.items()}


def _add_media(evidence: Evidence, answers: Answers, order: list[int], rows: list[list[Any]], media: Media) -> None:
    """Puts in the pictures or recordings of the most wrong examples, and of the most frequent mistakes."""
    at = {place: number for number, place in enumerate(order)}
    for place in shown(evidence, answers):
        number, id = at.get(place), evidence.ids[place]
        if number is None:
            continue
        row = evidence.inputs.of(id)
        if row is None:
            continue
        item = media.add(id, evidence.input, row[evidence.input])
        rows[number][6] = -1 if item is None else item


def shown(evidence: Evidence, answers: Answers) -> list[int]:
    """The examples whose pictures or recordings are put into the page."""
    most = MEDIA[evidence.input]
    order = answers.order
    chosen = dict.fromkeys(order[: most - OF_PAIR * PAIRS if answers.kind == "label" else most].tolist())
    if answers.kind == "label":
        truths, given = np.array(answers.truths, object), np.array(answers.answers, object)
        for pair in answers.pairs()[:PAIRS]:
            same = order[(truths[order] == pair.truth) & (given[order] == pair.answer)]
            chosen |= dict.fromkeys(same[:OF_PAIR].tolist())
    return list(chosen)


def make(evidence: Evidence, list_: Listed | None) -> Section | None:
    """The list, which the page's script fills; what is missing is said."""
    answers = evidence.answers
    if answers is None or list_ is None:
        return None
    notes = [evidence.inputs.why] if evidence.inputs.why else []
    missing = list_.media.missing
    if missing:
        first = next(iter(missing))
        notes.append(
            f"{len(missing):,} of the files shown cannot be read, such as {html.text(first)}: {missing[first]}."
        )
    if evidence.input in MEDIA and len(list_.media.items) < len(answers):
        called = "pictures" if evidence.input == "image" else "recordings"
        notes.append(
            f"The page holds {len(list_.media.items):,} of {len(answers):,} {called}: those of the most wrong answers."
        )
    if len(list_.data["rows"]) < len(answers):
        notes.append(f"The list holds {len(list_.data['rows']):,} of {len(answers):,} examples, the most wrong ones.")
    wrong, hint = int((~answers.right).sum()), ""
    if any(len(row) > EXTRA and "why" in row[EXTRA] for row in list_.data["rows"]):
        hint = "Coloured words mattered: without an orange one the answer is less likely, without a blue one more."
    if answers.kind == "transcript":
        hint = "Struck out: left out; underlined: put in; two words: the upper one was said, the lower one heard."
    body = render(
        "examples.html",
        notes=notes,
        hint=hint,
        input=evidence.input,
        answers=answers,
        wrong=wrong,
        names=list_.data["names"],
    )
    return Section("examples", "Most wrong examples", body)
