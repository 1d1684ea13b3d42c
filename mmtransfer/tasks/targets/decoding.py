"""From frames to texts by a beam search with language models, and the choice of how much these count."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from mmtransfer import disk, language
from mmtransfer.errors import MMTransferError, damaged
from mmtransfer.language import NGrams
from mmtransfer.language.beam import Hypothesis, Search, search
from mmtransfer.language.lexicon import letters_of
from mmtransfer.language.scorer import SPACE, Bonus, Weights, Words

logger = logging.getLogger("mmtransfer")
LETTERS_ORDER = 5
"""Of the model that spells words outside of the vocabulary."""
FILES = ("words.arpa", "letters.arpa")
"""In the folder of a model."""
MODEL_WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0)
WORD_BONUSES = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0)
"""What is tried on validation data: each weight without a bonus, each bonus with the best of them, then each weight
with the best bonus."""
ENOUGH = 30_000
"""Frames on which weights are chosen: ten minutes of speech, where a frame is 20 ms."""
BATCH = 32
"""Recordings that are searched at once."""


class Decoder:
    """A beam search over frames: `symbols` are those of CTC; `words` and `letters` are the language models, None for a
    search without them."""

    def __init__(
        self, symbols: Sequence[str], words: NGrams | None, letters: NGrams | None, weights: Weights | None = None
    ) -> None:
        self.symbols, self.words, self.letters = symbols, words, letters
        self.weights = weights or Weights(1.0 if words is not None else 0.0, 0.0)
        self._lexical = None
        if words is not None and letters is not None:
            self._lexical = Words(words, letters, symbols, self.weights)

    def hypotheses(
        self, frames: Sequence[np.ndarray], best: int = 1, settings: Search | None = None
    ) -> list[list[Hypothesis]]:
        """The best hypotheses of each recording, of its frames: ln of probabilities, (frames, symbols)."""
        scorer = self._lexical.weighed(self.weights) if self._lexical else Bonus(self.weights.word)
        order = sorted(range(len(frames)), key=lambda place: len(frames[place]))
        found: list[list[Hypothesis]] = [[] for _ in frames]
        for begin in range(0, len(order), BATCH):
            places = order[begin : begin + BATCH]
            own = search([frames[place] for place in places], scorer, settings, best)
            for place, hypotheses in zip(places, own, strict=True):
                found[place] = hypotheses
        return found

    def said(self, frames: Sequence[np.ndarray]) -> list[list[int]]:
        """The symbols that each recording says, one space between words."""
        return [hypotheses[0].symbols for hypotheses in self.hypotheses(frames)]

    def choose(self, frames: Sequence[np.ndarray], answers: Sequence[str]) -> None:
        """Takes the weights with the fewest word errors, those that are tried first among equals."""
        total = sum(map(len, frames))
        every = max(1, -(-total // ENOUGH))
        some, said = frames[::every], answers[::every]
        models = MODEL_WEIGHTS if self._lexical else (0.0,)
        self.weights = self._best([Weights(model) for model in models], some, said)
        self.weights = self._best([Weights(self.weights.model, word) for word in WORD_BONUSES], some, said)
        # a word costs less with a bonus, so the language may count for more
        self.weights = self._best([self.weights, *(Weights(model, self.weights.word) for model in models)], some, said)

    def _best(self, tried: Sequence[Weights], frames: Sequence[np.ndarray], answers: Sequence[str]) -> Weights:
        return min(tried, key=lambda weights: self._errors(frames, answers, weights))

    def _errors(self, frames: Sequence[np.ndarray], answers: Sequence[str], weights: Weights) -> int:
        self.weights = weights
        return errors([spelled(own, self.symbols) for own in self.said(frames)], answers)

    def save(self, folder: Path) -> None:
        """Writes the language models."""
        for name, model in zip(FILES, (self.words, self.letters), strict=True):
            if model is not None:
                with disk.writing(folder / name):
                    language.write_arpa(model, folder / name)

    @classmethod
    def load(cls, folder: Path, symbols: Sequence[str], weights: Weights) -> Decoder:
        """Of what `save` wrote; without models where there are none."""
        if not (folder / FILES[0]).is_file():
            return cls(symbols, None, None, weights)
        models = []
        for name in FILES:
            try:
                models.append(language.read_arpa(folder / name))
            except MMTransferError as error:
                raise damaged(folder / name, ValueError(error.what)) from None
        return cls(symbols, models[0], models[1], weights)


def best_symbols(numbers: np.ndarray) -> list[int]:
    """What the best symbols of the frames, int (frames,), say: no repeats, no blanks, one space between words."""
    changes = np.flatnonzero(np.diff(numbers, prepend=-1))
    found: list[int] = []
    for number in numbers[changes].tolist():
        if number and not (number == SPACE and (not found or found[-1] == SPACE)):
            found.append(number)
    return found[:-1] if found and found[-1] == SPACE else found


def spelled(numbers: Sequence[int], symbols: Sequence[str]) -> str:
    """The text of symbols."""
    return "".join(" " if number == SPACE else symbols[number] for number in numbers)


def errors(texts: Sequence[str], answers: Sequence[str]) -> int:
    """Word errors."""
    from mmtransfer.metrics import align

    return sum(align(b.split(), a.split()).total for a, b in zip(texts, answers, strict=True))


def of_texts(texts: Iterable[str], order: int, symbols: Sequence[str]) -> Decoder:
    """With a language model of the training transcripts, spelled as the symbols have it; MMTransferError if they have
    no words."""
    words = language.estimate(language.count((text.split() for text in texts), order))
    if words.order < order:
        logger.info("the longest transcript allows n-grams of %d words, so that is --lm-order", words.order)
    return Decoder(symbols, words, spelling(spellable(words, symbols)))


def of_file(path: Path, order: int, symbols: Sequence[str], spell: Callable[[str], str]) -> Decoder:
    """With the language model of an ARPA file or of a text; `spell`: how the task spells what either says.

    Raises MMTransferError for a file that `language.read` refuses, and for one without words of the symbols.
    """
    words, counted = language.read(path, order, spell)
    where = f"--lm {path}"
    if counted and words.order < order:
        logger.warning("%s: its longest line allows n-grams of %d words, so that is --lm-order", where, words.order)
    known, own = words.words[language.END + 1 :], spellable(words, symbols)
    if not own:
        raise MMTransferError(
            "No word of the language model can be spelled in the symbols of the transcripts",
            where,
            f"give a model of their language and characters: {' '.join(symbols[2:12])} ...",
        )
    if len(own) < len(known):
        left = sorted(set(known) - set(own))
        what = "%s: %d of %d words have characters that are no symbols, and are left out: %s"
        logger.warning(what, where, len(left), len(known), " ".join(left[:10]))
    return Decoder(symbols, words, spelling(own))


def spellable(model: NGrams, symbols: Sequence[str]) -> list[str]:
    """The words of a model that have no other characters than the symbols."""
    letters = set(letters_of(symbols))
    return [word for word in model.words[language.END + 1 :] if letters.issuperset(word)]


def spelling(words: Sequence[str]) -> NGrams:
    """A model of how words are spelled, each counted once: words that are unknown are more like rare ones."""
    return language.estimate(language.count(words, LETTERS_ORDER), "the spelling of unknown words")
