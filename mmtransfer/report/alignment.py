"""Two texts side by side, word by word, with the fewest edits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Pair = tuple[str | None, str | None]
"""(said, heard): None for a word that the other text has nothing for."""


def pairs(said: Sequence[str], heard: Sequence[str]) -> list[Pair]:
    """The words of two texts as they belong together; of several shortest ways one with the most equal words.

    >>> pairs("the cat sat".split(), "a cat sat down".split())
    [('the', 'a'), ('cat', 'cat'), ('sat', 'sat'), (None, 'down')]
    """
    # a substitution costs a little more than a gap, so that of equally few edits the one with more equal words is taken
    gap = len(said) + len(heard) + 1
    other = np.array(heard, dtype=object)
    steps = gap * np.arange(len(heard) + 1)
    rows = [steps]
    for word in said:
        row = rows[-1] + gap
        row[1:] = np.minimum(row[1:], rows[-1][:-1] + (gap + 1) * (other != word))
        rows.append(np.minimum.accumulate(row - steps) + steps)  # words put in, one after the other
    found: list[Pair] = []
    i, j = len(said), len(heard)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (gap + 1) * (said[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            found.append((said[i], heard[j]))
        elif i and rows[i][j] == rows[i - 1][j] + gap:
            i -= 1
            found.append((said[i], None))
        else:
            j -= 1
            found.append((None, heard[j]))
    return found[::-1]
