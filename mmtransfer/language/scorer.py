"""What language models say of hypotheses while they are spelled, for all hypotheses of a beam at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mmtransfer.language.lexicon import NO_WORD, OUTSIDE, ROOT, Lexicon, lexicon
from mmtransfer.language.ngrams import END, UNKNOWN, NGrams

SPACE = 1
"""The number of the symbol between words."""
Memory = dict[str, np.ndarray]
"""What a scorer keeps of hypotheses, (batch, beam) each; `score` among it: what it says of each as far as it goes."""


class Scorer(Protocol):
    """What a search asks beside the acoustics. `last`, `symbols`: numbers of symbols, int (batch, beam)."""

    def start(self, batch: int) -> Memory:
        """Of the empty hypothesis, (batch, 1)."""

    def scores(self, memory: Memory, symbols: np.ndarray) -> np.ndarray:
        """float64 (batch, beam, tried): the score of each hypothesis with one more symbol; `symbols` (batch, tried)."""

    def extended(self, memory: Memory, symbols: np.ndarray) -> Memory:
        """What is kept of hypotheses with one more symbol."""

    def finished(self, memory: Memory, last: np.ndarray) -> np.ndarray:
        """float64 (batch, beam): the score of each as a whole sentence."""


@dataclass(frozen=True)
class Weights:
    """How much the language counts: score = ln P(symbols | recording) + `model` ln P(words) + `word` times words."""

    model: float = 1.0
    word: float = 0.0


class Bonus:
    """No language model: a number for each word."""

    def __init__(self, word: float = 0.0) -> None:
        self.word = word

    def start(self, batch: int) -> Memory:
        return {"score": np.zeros((batch, 1)), "open": np.zeros((batch, 1), bool)}

    def scores(self, memory: Memory, symbols: np.ndarray) -> np.ndarray:
        begun = ~memory["open"][:, :, None] & (symbols != SPACE)[:, None, :]
        return np.asarray(memory["score"][:, :, None] + self.word * begun)

    def extended(self, memory: Memory, symbols: np.ndarray) -> Memory:
        letter = symbols != SPACE
        return {"score": memory["score"] + self.word * (letter & ~memory["open"]), "open": letter}

    def finished(self, memory: Memory, last: np.ndarray) -> np.ndarray:
        return memory["score"]


class Words:
    """A word model through the tree of its vocabulary; beside the tree words are spelled by a model of letters.

    A word in the vocabulary costs what the word model says; any other P(<unk>) times its spelling under `letters`.
    While a word is spelled, the best single word that it can become stands for it (Steinbiss et al. 1994), so that
    hypotheses within words compare with those between them.
    """

    def __init__(self, words: NGrams, letters: NGrams, symbols: Sequence[str], weights: Weights) -> None:
        self.model, self.weights = words, weights
        self.lexicon: Lexicon = lexicon(words, symbols)
        scores, after, places = letters.dense
        columns = [letters.number(symbol) for symbol in symbols]
        self._letters, self._after = scores[:, columns].astype(np.float64), after[:, columns]
        self._end = scores[:, END].astype(np.float64)
        self._first = int(places[letters.start])
        self._unknown = float(words.step(np.zeros(1, np.int64), np.array([UNKNOWN]))[0][0])

    def weighed(self, weights: Weights) -> Words:
        """The same with other weights."""
        other = object.__new__(Words)
        other.__dict__.update(self.__dict__, weights=weights)
        return other

    def start(self, batch: int) -> Memory:
        shape = (batch, 1)
        return {
            "score": np.zeros(shape),
            "said": np.zeros(shape),
            "state": np.full(shape, self.model.start),
            "node": np.full(shape, ROOT, np.int32),
            "letters": np.full(shape, self._first, np.int32),
            "spelled": np.zeros(shape),
        }

    def scores(self, memory: Memory, symbols: np.ndarray) -> np.ndarray:
        tried = symbols[:, None, :]
        nodes = self.lexicon.children[memory["node"][:, :, None], tried]
        spelled = memory["spelled"][:, :, None] + self._letters[memory["letters"][:, :, None], tried]
        scores = self._open(memory["said"][:, :, None], nodes, spelled)
        rows, columns = np.nonzero(symbols == SPACE)
        if len(rows):
            closed, _ = self._closed({name: values[rows] for name, values in memory.items()})
            scores[rows, :, columns] = closed
        return scores

    def extended(self, memory: Memory, symbols: np.ndarray) -> Memory:
        nodes = self.lexicon.children[memory["node"], symbols]
        spelled = memory["spelled"] + self._letters[memory["letters"], symbols]
        found = {
            "score": self._open(memory["said"], nodes, spelled),
            "said": memory["said"].copy(),
            "state": memory["state"].copy(),
            "node": nodes,
            "letters": self._after[memory["letters"], symbols],
            "spelled": spelled,
        }
        ends = symbols == SPACE
        if ends.any():
            said, state = self._closed({name: values[ends] for name, values in memory.items()})
            begun = {"score": said, "said": said, "state": state, "node": ROOT, "letters": self._first, "spelled": 0.0}
            for name, values in begun.items():
                found[name][ends] = values
        return found

    def finished(self, memory: Memory, last: np.ndarray) -> np.ndarray:
        closed, behind = self._closed(memory)
        between = last == SPACE
        said, state = np.where(between, memory["said"], closed), np.where(between, memory["state"], behind)
        ends = self.model.step(state.ravel(), np.full(state.size, END))[0].reshape(state.shape)
        return np.asarray(said + self.weights.model * ends)

    def _open(self, said: np.ndarray, nodes: np.ndarray, spelled: np.ndarray) -> np.ndarray:
        """The score with a word that is not yet at its end."""
        ahead = np.where(nodes == OUTSIDE, self._unknown + spelled, self.lexicon.best[nodes])
        return np.asarray(said + self.weights.model * ahead + self.weights.word)

    def _closed(self, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The score with the word at its end, and the word model's state behind it."""
        words, shape = self.lexicon.words[memory["node"]], memory["state"].shape
        outside = words == NO_WORD
        scores, state = self.model.step(memory["state"].ravel(), np.where(outside, UNKNOWN, words).ravel())
        spelling = np.where(outside, memory["spelled"] + self._end[memory["letters"]], 0.0)
        scores = scores.reshape(shape) + spelling
        return memory["said"] + self.weights.model * scores + self.weights.word, state.reshape(shape)
