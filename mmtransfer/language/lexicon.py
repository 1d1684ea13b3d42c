"""The words of a language model as a tree of symbols: which word a spelling is, and how good a word it can become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmtransfer.language.ngrams import END, NGrams

OUTSIDE, ROOT = 0, 1
"""The node of spellings that begin no word, and that of no letter."""
NO_WORD = -1


@dataclass(frozen=True)
class Lexicon:
    """A prefix tree.

    `children` int32 (nodes, symbols): the node behind each symbol, OUTSIDE if there is no word; `words` int64 (nodes,):
    the number of the word that ends there, or NO_WORD; `best` float64 (nodes,): the largest ln P(word), of single
    words, below a node. Words that the symbols cannot spell are not in it.
    """

    children: np.ndarray
    words: np.ndarray
    best: np.ndarray


def lexicon(model: NGrams, symbols: Sequence[str]) -> Lexicon:
    """The tree of a model's words in `symbols`: entry 0 the blank, entry 1 the space, the others characters."""
    numbers = letters_of(symbols)
    singles = model.step(np.zeros(len(model.words), np.int64), np.arange(len(model.words)))[0]
    children: list[dict[int, int]] = [{}, {}]
    words, best = [NO_WORD, NO_WORD], [-np.inf, -np.inf]
    for number, word in enumerate(model.words[END + 1 :], start=END + 1):
        if not numbers.keys() >= set(word):
            continue
        node, path = ROOT, [ROOT]
        for symbol in (numbers[character] for character in word):
            if symbol not in children[node]:
                children[node][symbol] = len(children)
                children.append({})
                words.append(NO_WORD)
                best.append(-np.inf)
            node = children[node][symbol]
            path.append(node)
        words[node] = number
        for node in path:
            best[node] = max(best[node], singles[number])
    table = np.zeros((len(children), len(symbols)), np.int32)
    for node, own in enumerate(children):
        if own:
            table[node, list(own)] = list(own.values())
    return Lexicon(table, np.array(words), np.array(best))


def letters_of(symbols: Sequence[str]) -> Mapping[str, int]:
    """The numbers of the symbols that are characters of words."""
    return {symbol: number for number, symbol in enumerate(symbols) if number > 1 and len(symbol) == 1}
