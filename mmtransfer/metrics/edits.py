"""What turns one text into another: the fewest edits, counted, and word by word."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Edits:
    """What turns a reference into a hypothesis."""

    substitutions: int
    deletions: int
    insertions: int

    @property
    def total(self) -> int:
        """The edit distance."""
        return self.substitutions + self.deletions + self.insertions


def align(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> Edits:
    """The fewest edits (Levenshtein), and of the shortest alignments one with the most hits.

    Insertions minus deletions is the difference of the lengths, so the last row tells all three numbers: no table is
    kept, no path is walked.
    """
    unit = len(reference) + len(hypothesis) + 1
    for row in _rows(reference, hypothesis, unit):
        last = row
    total, substitutions = divmod(int(last[-1]), unit)
    gaps, longer = total - substitutions, len(hypothesis) - len(reference)
    return Edits(substitutions, (gaps - longer) // 2, (gaps + longer) // 2)


def pairs(reference: str, hypothesis: str) -> list[tuple[str | None, str | None]]:
    """Two texts side by side, word by word: (said, heard), None for a word that the other has nothing for.

    It is an alignment of those that `align` counts; of several the one with gaps as far at the front as can be.

    >>> pairs("the cat sat", "a cat sat down")
    [('the', 'a'), ('cat', 'cat'), ('sat', 'sat'), (None, 'down')]
    """
    said, heard = composed(reference).split(), composed(hypothesis).split()
    unit = len(said) + len(heard) + 1
    rows = list(_rows(said, heard, unit))
    found: list[tuple[str | None, str | None]] = []
    i, j = len(said), len(heard)
    while i or j:
        cost = rows[i][j]
        if i and j and rows[i - 1][j - 1] + (unit + 1) * (said[i - 1] != heard[j - 1]) == cost:
            i, j = i - 1, j - 1
            found.append((said[i], heard[j]))
        elif i and rows[i - 1][j] + unit == cost:
            i -= 1
            found.append((said[i], None))
        else:
            j -= 1
            found.append((None, heard[j]))
    return found[::-1]


def composed(text: str) -> str:
    """A text in Unicode's NFC, in which words are compared."""
    return unicodedata.normalize("NFC", text)


def _rows(reference: Sequence[Hashable], hypothesis: Sequence[Hashable], unit: int) -> Iterator[np.ndarray]:
    """The rows of the table of distances, int64 (hypothesis + 1,) each, from that of the empty reference on.

    A substitution costs `unit + 1`, the others `unit`, with `unit` above any number of substitutions: one distance then
    holds both the edits (its quotient) and the substitutions among them (its remainder). A row is computed at once;
    the chain of insertions along it is a running minimum.
    """
    numbers: dict[Hashable, int] = {}
    source = [numbers.setdefault(token, len(numbers)) for token in reference]
    target = np.array([numbers.setdefault(token, len(numbers)) for token in hypothesis], np.int64)
    inserted = unit * np.arange(len(target) + 1)
    row = inserted
    yield row
    for token in source:
        best = row + unit
        best[1:] = np.minimum(best[1:], row[:-1] + (unit + 1) * (target != token))
        row = np.minimum.accumulate(best - inserted) + inserted
        yield row
