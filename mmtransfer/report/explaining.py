"""What the model itself says of its worst answers: which words of a text mattered, and when words were said."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmtransfer.data import audio
from mmtransfer.report.evidence import Evidence

SECONDS = 10.0
"""How long the model is asked."""
TEXTS, RECORDINGS = 30, 40
"""Most examples that it is asked about."""
WORDS = 60
"""Words of the longest text of which each is left out in turn."""
RATE = 16_000
"""Samples a second of a recording that has no file of its own."""
AT_ONCE = 8
"""Recordings between two looks at the clock."""


def explain(evidence: Evidence, run: Any) -> dict[str, dict[str, Any]]:
    """By id, of the worst answers: of texts `why`, pieces of the text, each with how much less likely the answer is
    without it; of transcripts `times`, begin and end of each word that was heard, in seconds.

    `run`: the run, opened. The model is asked for SECONDS at most, the worst answer first.
    """
    answers = evidence.answers
    assert answers is not None  # who asks has seen that there are predictions
    end = time.monotonic() + SECONDS
    places = [place for place in answers.order.tolist() if not answers.right[place]]
    if evidence.kind == "transcript":
        return dict(_times(evidence, run, places[:RECORDINGS], end))
    if evidence.kind == "label" and evidence.input == "text":
        return dict(_words(evidence, run, places[:TEXTS], end))
    return {}


def _times(evidence: Evidence, run: Any, places: Sequence[int], end: float) -> Iterator[tuple[str, dict[str, Any]]]:
    known = [evidence.ids[place] for place in places if evidence.ids[place] in evidence.inputs.rows]
    for start in range(0, len(known), AT_ONCE):
        if time.monotonic() > end:
            return
        ids = known[start : start + AT_ONCE]
        values = [_recording(evidence.inputs.column[id]) for id in ids]
        for id, prediction in zip(ids, run.predict(values), strict=True):
            words = [[round(word.start, 2), round(word.end, 2)] for word in prediction.words]
            place = evidence.ids.index(id)
            if len(words) == len(evidence.records["prediction"][place].split()):
                yield id, {"times": words}


def _recording(value: Mapping[str, Any]) -> Any:
    """A recording as `predict` takes it among others: a path, or samples with their rate."""
    alone = value["bytes"] is None and value.get("offset") is None and value.get("start") is None
    return value["path"] if alone else (audio.read_samples(value, RATE).numpy(), RATE)


def _words(evidence: Evidence, run: Any, places: Sequence[int], end: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each word is left out in turn (leave-one-out: Li et al. 2016, arXiv:1612.08220)."""
    for place in places:
        if time.monotonic() > end:
            return
        id, text = evidence.ids[place], evidence.inputs.column.get(evidence.ids[place])
        row = evidence.inputs.of(id)
        if not isinstance(text, str) or row is None or row.get("pair") is not None:
            continue
        pieces = re.findall(r"\s+|\S+", text)
        words = [number for number, piece in enumerate(pieces) if piece.strip()]
        if not 2 <= len(words) <= WORDS:
            continue
        without = ["".join(pieces[:number] + pieces[number + 1 :]) for number in words]
        whole, *others = [dict(one.scores) for one in run.predict([text, *without])]
        answer = evidence.records["prediction"][place]
        weights = np.array([whole.get(answer, 0.0) - other.get(answer, 0.0) for other in others])
        yield id, {"why": _weighed(pieces, dict(zip(words, weights.tolist(), strict=True)))}


def _weighed(pieces: Sequence[str], weights: Mapping[int, float]) -> list[list[Any]]:
    """(piece, weight); pieces that did not matter are joined."""
    found: list[list[Any]] = []
    for number, piece in enumerate(pieces):
        weight = round(weights.get(number, 0.0), 2)
        if found and not weight and not found[-1][1]:
            found[-1][0] += piece
        else:
            found.append([piece, weight])
    return found
