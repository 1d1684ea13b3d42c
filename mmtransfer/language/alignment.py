"""When each symbol of a known text is said: the most probable path of CTC that says it (Viterbi)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmtransfer.language.scorer import SPACE

_NEVER = -1e4
"""Instead of ln 0: a text that no path says has an alignment all the same, the least impossible one."""


@dataclass(frozen=True)
class Spoken:
    """A word in frames: `begin` is its first one, `end` the one behind its last.

    `confidence`: the geometric mean of the probabilities of its symbols in their frames, 0 to 1.
    """

    begin: int
    end: int
    confidence: float


def align(frames: np.ndarray, symbols: Sequence[int]) -> np.ndarray:
    """int64 (frames,): which of the symbols each frame of the best path says, -1 for a blank.

    `frames`: float (frames, symbols), ln of probabilities, symbol 0 the blank; there are frames enough for the text.
    """
    count = 2 * len(symbols) + 1
    labels = np.zeros(count, np.int64)
    labels[1::2] = symbols
    emitted = np.maximum(frames, _NEVER).astype(np.float64)[:, labels]
    skips = np.zeros(count, bool)  # from a symbol to the next one, past the blank between them
    skips[3::2] = labels[3::2] != labels[1:-2:2]
    scores = np.full(count, -np.inf)
    scores[:2] = emitted[0, :2]
    steps = np.zeros((len(frames), count), np.int8)
    options = np.full((3, count), -np.inf)
    for number in range(1, len(frames)):
        options[0] = scores
        options[1, 1:] = scores[:-1]
        options[2, 2:] = np.where(skips[2:], scores[:-2], -np.inf)
        steps[number] = options.argmax(0)
        scores = options.max(0) + emitted[number]
    place = count - 1 if count == 1 or scores[-1] >= scores[-2] else count - 2
    path = np.zeros(len(frames), np.int64)
    for number in range(len(frames) - 1, -1, -1):
        path[number] = place
        place -= int(steps[number, place])
    return np.where(path % 2, path // 2, -1)


def words(frames: np.ndarray, symbols: Sequence[int]) -> list[Spoken]:
    """When each word of a text is said; `symbols`: its words with one `SPACE` between them."""
    if not symbols:
        return []
    said = align(frames, symbols)
    owners = np.cumsum(np.array(symbols) == SPACE)
    owners[np.array(symbols) == SPACE] = -1
    of_frame = np.where(said >= 0, owners[said], -1)
    scores = np.maximum(frames[np.arange(len(frames)), np.where(said >= 0, np.array(symbols)[said], 0)], _NEVER)
    found = []
    for word in range(int(owners.max()) + 1):
        own = np.flatnonzero(of_frame == word)
        found.append(Spoken(int(own[0]), int(own[-1]) + 1, float(np.exp(scores[own].mean()))))
    return found
