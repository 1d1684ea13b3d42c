"""Where transcripts are wrong: words taken for others, left out and put in; the rate by speaker, length and noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmtransfer.metrics.edits import pairs
from mmtransfer.metrics.intervals import jackknife
from mmtransfer.metrics.transcription import ONE_SPEAKER

Pairs = Sequence[tuple[str | None, str | None]]
KINDS = {"substituted": "substitutions", "deleted": "deletions", "inserted": "insertions"}
"""What has happened to a word, and what such edits are called."""
MOST_WORDS, MOST_SPEAKERS = 20, 100
"""So many of the most frequent errors, and of the worst speakers, are told."""
PARTS = 4
"""Into which recordings are parted by length and by noise, as many in each."""


def word_errors(
    references: Sequence[str],
    predictions: Sequence[str],
    speakers: Sequence[str | None] | None = None,
    measures: Mapping[str, Sequence[float | None]] | None = None,
) -> dict[str, Any]:
    """What to look at of transcripts, as JSON.

    `words` of the references and the edits (`substitutions`, `deletions`, `insertions`) in all; the words most often
    `substituted` (`said`, `heard`, `times`, and `of` so many times that it was said), `deleted` (`said`, `times`, `of`)
    and `inserted` (`heard`, `times`); WER with its 95 % interval `by_speaker`, the worst first, and `by_NAME` of each
    of `measures`, numbers of each recording, for its quarters, each `from` one `to` another.

    >>> found = word_errors(["the cat", "the hat"], ["a cat", "a hat"])
    >>> found["substitutions"], found["substituted"]
    (2, [{'said': 'the', 'heard': 'a', 'times': 2, 'of': 2}])
    """
    aligned = [pairs(*texts) for texts in zip(references, predictions, strict=True)]
    said = Counter(word for own in aligned for word, _ in own if word is not None)
    wrong = Counter(pair for own in aligned for pair in own if pair[0] != pair[1])
    totals = dict.fromkeys(KINDS.values(), 0)
    listed: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for (word, heard), times in wrong.most_common():
        kind = "inserted" if word is None else "deleted" if heard is None else "substituted"
        totals[KINDS[kind]] += times
        if len(listed[kind]) < MOST_WORDS:
            row: dict[str, Any] = {} if word is None else {"said": word}
            row |= {} if heard is None else {"heard": heard}
            listed[kind].append(row | {"times": times} | ({} if word is None else {"of": said[word]}))
    counts = np.array([counted(own) for own in aligned], np.int64).reshape(-1, 2)
    owners = list(speakers or [None] * len(aligned))
    rates = _Rates(counts, owners)
    by = {f"by_{name}": rates.by_parts(values) for name, values in (measures or {}).items()}
    return {"words": said.total(), **totals, **listed, "by_speaker": rates.by_speaker(), **by}


def counted(aligned: Pairs) -> tuple[int, int]:
    """Edits and words of the reference."""
    return sum(word != heard for word, heard in aligned), sum(word is not None for word, _ in aligned)


def marked(aligned: Pairs) -> str:
    """An alignment to be read: `[said>heard]` where words differ, nothing before or behind `>` where there is none.

    >>> marked([("the", "a"), ("cat", "cat"), (None, "down")])
    '[the>a] cat [>down]'
    """
    return " ".join(f"{word}" if word == heard else f"[{word or ''}>{heard or ''}]" for word, heard in aligned)


class _Rates:
    """WER of some of the recordings."""

    def __init__(self, counts: np.ndarray, owners: Sequence[str | None]) -> None:
        """`counts`: int64 (recordings, 2), edits and words."""
        self.counts, self.owners = counts, owners

    def of(self, places: Iterable[int]) -> dict[str, Any]:
        """By speaker, as the score of all is; by recording where all words are of one speaker or none is known."""
        places = list(places)
        sums: dict[Any, np.ndarray] = {}
        for place in places:
            key = place if self.owners[place] is None else str(self.owners[place])
            sums[key] = sums.get(key, 0) + self.counts[place]
        groups, unit = list(sums.values()), "speaker or recording"
        if sum(bool(words) for _, words in groups) < 2:
            groups, unit = [self.counts[place] for place in places], ONE_SPEAKER
        edits, words = np.array(groups).T.tolist()
        score = jackknife(edits, words, unit)
        value = {"wer": score.value, "low": score.low, "high": score.high}
        return {"recordings": len(places), "words": score.n, **value}

    def by_speaker(self) -> list[dict[str, Any]]:
        places: dict[str, list[int]] = {}
        for place, owner in enumerate(self.owners):
            if owner is not None:
                places.setdefault(str(owner), []).append(place)
        found = [{"speaker": name, **self.of(own)} for name, own in places.items()]
        found.sort(key=lambda row: (-(row["wer"] or 0.0), row["speaker"]))
        return found[:MOST_SPEAKERS]

    def by_parts(self, values: Sequence[float | None]) -> list[dict[str, Any]]:
        """Of recordings without a value nothing is told."""
        known = sorted((value, place) for place, value in enumerate(values) if value is not None)
        parts = [part for part in np.array_split(np.array(known).reshape(-1, 2), PARTS) if len(part)]
        return [
            {"from": float(part[0, 0]), "to": float(part[-1, 0]), **self.of(part[:, 1].astype(int).tolist())}
            for part in parts
        ]
