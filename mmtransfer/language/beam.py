"""CTC prefix beam search (Hannun et al. 2014) over a batch of recordings, all hypotheses of a frame at once.

A hypothesis is a text, and its probability that of all paths which say it: those that end in a blank and those that do
not are kept apart. Spaces at the beginning and behind other spaces change no text, so such paths count for the text
without them. Symbol 0 is the blank, symbol 1 the space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmtransfer.language.scorer import SPACE, Memory, Scorer

_START, _DEAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(1)
_FACTOR = np.uint64(6364136223846793005)


@dataclass(frozen=True)
class Search:
    """How widely is searched."""

    beam: int = 50
    """Hypotheses of a recording that are kept from frame to frame."""
    least: float = math.log(1e-4)
    """ln of the probability below which a symbol of a frame is not tried."""
    width: float = 20.0
    """A hypothesis is dropped that is worse than the best by more than this, in ln."""
    skip: float = math.log(0.99)
    """A frame is taken for nothing but blank whose blank has more than this, in ln."""


@dataclass(frozen=True)
class Hypothesis:
    """`symbols`: numbers; `score`: with what the scorer says, `acoustic`: ln of the probability of all its paths."""

    symbols: list[int]
    score: float
    acoustic: float


@dataclass
class _Beam:
    """The hypotheses of a batch, (batch, beam) each. `key`: a number for the text; `before`: that of the text without
    its last symbol; `blank`, `other`: ln of the probability of paths that end in a blank, and that do not."""

    key: np.ndarray
    before: np.ndarray
    last: np.ndarray
    blank: np.ndarray
    other: np.ndarray
    memory: Memory

    def rows(self, which: slice) -> _Beam:
        memory = {name: values[which] for name, values in self.memory.items()}
        return _Beam(
            self.key[which], self.before[which], self.last[which], self.blank[which], self.other[which], memory
        )


def search(
    recordings: Sequence[np.ndarray], scorer: Scorer, settings: Search | None = None, best: int = 1
) -> list[list[Hypothesis]]:
    """The best texts of each recording, the best first, `best` of them at most.

    `recordings`: of each float (frames, symbols), ln of probabilities. The same numbers give the same texts, whatever
    else is in the batch. A recording without frames has one hypothesis, the empty one.
    """
    settings = settings or Search()
    kept = [_Frames.of(frames, settings) for frames in recordings]
    order = sorted(range(len(kept)), key=lambda row: -len(kept[row].numbers))
    kept = [kept[row] for row in order]
    symbols = max((frames.scores.shape[1] for frames in kept), default=0)
    codes = np.random.default_rng(0).integers(2, 1 << 63, symbols, np.uint64)
    shape = (len(kept), 1)
    beam = _Beam(
        np.full(shape, _START),
        np.zeros(shape, np.uint64),
        np.full(shape, SPACE),
        np.zeros(shape),
        np.full(shape, -np.inf),
        scorer.start(len(kept)),
    )
    history: list[tuple[np.ndarray, np.ndarray]] = []
    found: list[list[Hypothesis]] = [[] for _ in kept]
    for step in range(len(kept[0].numbers) + 1 if kept else 0):
        active = sum(len(frames.numbers) > step for frames in kept[: len(beam.key)])
        if active < len(beam.key):
            ended = beam.rows(slice(active, None))
            own = _finish(ended, kept[active : len(beam.key)], scorer, history, active, best)
            for row, hypotheses in enumerate(own, start=active):
                found[order[row]] = hypotheses
            beam = beam.rows(slice(active))
        if active:
            beam, came = _step(beam, kept[:active], step, scorer, settings, codes)
            history.append(came)
    return found


@dataclass(frozen=True)
class _Frames:
    """The frames of a recording that say more than blank. `numbers` (kept,): which they are; `scores` (kept, symbols);
    `gaps` (kept + 1,): ln of the probability of the blanks that were skipped before each, and at the end; nan for none.
    """

    numbers: np.ndarray
    scores: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, settings: Search) -> _Frames:
        scores = np.asarray(scores, np.float64)
        blank = scores[:, 0]
        skipped = blank > settings.skip
        numbers = np.flatnonzero(~skipped)
        sums = np.concatenate([[0.0], np.cumsum(np.where(skipped, blank, 0.0))])
        edges = np.concatenate([[-1], numbers, [len(scores)]])
        gaps = sums[edges[1:]] - np.concatenate([[0.0], sums[edges[1:-1] + 1]])
        return cls(numbers, scores[numbers], np.where(np.diff(edges) > 1, gaps, np.nan))


def _step(
    beam: _Beam, kept: Sequence[_Frames], step: int, scorer: Scorer, settings: Search, codes: np.ndarray
) -> tuple[_Beam, tuple[np.ndarray, np.ndarray]]:
    """The beam behind one more frame, and of each hypothesis where it came from and which symbol is new (0: none)."""
    _pause(beam, np.array([frames.gaps[step] for frames in kept]))
    frame = np.stack([frames.scores[step] for frames in kept])
    tried = _tried(frame, settings.least)
    blank, other, new = _heard(beam, frame, tried)
    ranks = np.logaddexp(blank, other) + beam.memory["score"]
    more = new + scorer.scores(beam.memory, tried)
    chosen, alive = _best(np.concatenate([ranks, more.reshape(len(kept), -1)], axis=1), settings)

    width, count = beam.last.shape[1], tried.shape[1]
    extended = chosen >= width
    slots = np.where(extended, (chosen - width) // count, chosen)
    columns = np.where(extended, (chosen - width) % count, 0)
    rows = np.arange(len(kept))[:, None]
    symbols = np.where(extended, tried[rows, columns], 0)
    key, before = beam.key[rows, slots], beam.before[rows, slots]
    memory = {name: values[rows, slots] for name, values in beam.memory.items()}
    if extended.any():
        own = scorer.extended({name: values[extended] for name, values in memory.items()}, symbols[extended])
        for name, values in own.items():
            memory[name][extended] = values
    behind = _Beam(
        np.where(alive, np.where(extended, key * _FACTOR + codes[symbols], key), _DEAD),
        np.where(alive, np.where(extended, key, before), np.uint64(0)),
        np.where(extended, symbols, beam.last[rows, slots]),
        np.where(alive & ~extended, blank[rows, slots], -np.inf),
        np.where(alive, np.where(extended, new[rows, slots, columns], other[rows, slots]), -np.inf),
        memory,
    )
    return behind, (slots, symbols)


def _heard(beam: _Beam, frame: np.ndarray, tried: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a frame, (batch, symbols), makes of the probabilities of all paths: those of the same texts that end in a
    blank, and that do not, (batch, beam); and those of texts with one symbol more, (batch, beam, tried)."""
    rows = np.arange(len(frame))[:, None]
    total = np.logaddexp(beam.blank, beam.other)
    between = beam.last == SPACE
    blank = total + frame[:, :1]
    other = np.where(between, total, beam.other) + frame[rows, beam.last]
    # a symbol that is there already has to have a blank before it to be there twice
    new = np.where(beam.last[:, :, None] == tried[:, None, :], beam.blank[:, :, None], total[:, :, None])
    new = new + np.where(tried > 0, frame[rows, tried], -np.inf)[:, None, :]
    new[between[:, :, None] & (tried == SPACE)[:, None, :]] = -np.inf
    # a text that is in the beam already, and so is the one that it goes on from
    which, child, parent = np.nonzero(beam.before[:, :, None] == beam.key[:, None, :])
    symbol = beam.last[which, child]
    source = np.where(beam.last[which, parent] == symbol, beam.blank[which, parent], total[which, parent])
    other[which, child] = np.logaddexp(other[which, child], source + frame[which, symbol])
    pair, column = np.nonzero(tried[which] == symbol[:, None])
    new[which[pair], parent[pair], column] = -np.inf
    return blank, other, new


def _pause(beam: _Beam, gaps: np.ndarray) -> None:
    """Takes the skipped frames before a frame: whatever a path ended in, it ends in a blank now."""
    rows = ~np.isnan(gaps)
    beam.blank[rows] = np.logaddexp(beam.blank[rows], beam.other[rows]) + gaps[rows, None]
    beam.other[rows] = -np.inf


def _tried(frame: np.ndarray, least: float) -> np.ndarray:
    """int (batch, tried): in each row the symbols that are probable enough, in their order, 0 behind them."""
    probable = frame > least
    probable[:, 0] = False
    count = max(1, int(probable.sum(1).max()))
    places = np.where(probable, np.arange(frame.shape[1]), frame.shape[1])
    found = np.sort(places, axis=1)[:, :count]
    return np.where(found < frame.shape[1], found, 0)


def _best(ranks: np.ndarray, settings: Search) -> tuple[np.ndarray, np.ndarray]:
    """Which are kept, the best first, (batch, kept), and which of them are hypotheses, where rows have unequally
    many."""
    count = min(settings.beam, ranks.shape[1])
    chosen = np.argpartition(-ranks, count - 1, axis=1)[:, :count] if count < ranks.shape[1] else None
    found = ranks if chosen is None else np.take_along_axis(ranks, chosen, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    found = np.take_along_axis(found, order, 1)
    chosen = order if chosen is None else np.take_along_axis(chosen, order, 1)
    alive = found > found[:, :1] - settings.width
    most = max(1, int(alive.sum(1).max()))
    return chosen[:, :most], alive[:, :most]


def _finish(
    beam: _Beam,
    kept: Sequence[_Frames],
    scorer: Scorer,
    history: Sequence[tuple[np.ndarray, np.ndarray]],
    offset: int,
    best: int,
) -> list[list[Hypothesis]]:
    """The best hypotheses of recordings that have ended; `offset`: the row of the first of them."""
    _pause(beam, np.array([frames.gaps[-1] for frames in kept]))
    acoustic = np.logaddexp(beam.blank, beam.other)
    language = scorer.finished(beam.memory, beam.last)
    # a space at the end changes no text
    which, child, parent = np.nonzero(
        (beam.before[:, :, None] == beam.key[:, None, :]) & (beam.last == SPACE)[:, :, None]
    )
    acoustic[which, parent] = np.logaddexp(acoustic[which, parent], acoustic[which, child])
    acoustic[which, child] = -np.inf
    scores = acoustic + language
    found = []
    for row, frames in enumerate(kept):
        order = np.argsort(-scores[row], kind="stable")[:best]
        own = []
        for place in order[scores[row, order] > -np.inf].tolist():
            symbols = _spelled(history[: len(frames.numbers)], row + offset, place)
            own.append(Hypothesis(symbols, float(scores[row, place]), float(acoustic[row, place])))
        found.append(own)
    return found


def _spelled(history: Sequence[tuple[np.ndarray, np.ndarray]], row: int, place: int) -> list[int]:
    """The symbols of a hypothesis of the newest beam, without a space at the end."""
    symbols = []
    for slots, own in reversed(history):
        if own[row, place]:
            symbols.append(int(own[row, place]))
        place = slots[row, place]
    return symbols[:0:-1] if symbols and symbols[0] == SPACE else symbols[::-1]
