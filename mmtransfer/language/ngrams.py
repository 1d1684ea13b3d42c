"""A back-off n-gram model as sorted arrays, asked for many words in many contexts at once.

Every n-gram is a node of a tree; its parent is the n-gram without its last word, node 0 is the empty one. Nodes are
numbered by length, then by parent, then by last word. So `parent * words + word` is one sorted array over all lengths,
and one binary search finds the node of any (context, word).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNKNOWN, BEGIN, END = 0, 1, 2
"""The numbers of `<unk>`, `<s>` and `</s>` in every model."""
SPECIAL = ("<unk>", "<s>", "</s>")
LN10 = math.log(10)
MISSING = -100.0
"""log10 of the probability of `<unk>` in a model that has none, as KenLM has it."""


@dataclass(frozen=True)
class Table:
    """The n-grams of one length: `rows` int (n, length) numbers of words, `scores` and `backoffs` float (n,) logarithms
    to base 10, as in ARPA files; a context without a back-off weight has 0."""

    rows: np.ndarray
    scores: np.ndarray
    backoffs: np.ndarray


class Misplaced(ValueError):
    """An n-gram that is there twice, or whose context, the words but the last, is not there; `row`: its words."""

    def __init__(self, row: np.ndarray, what: str) -> None:
        super().__init__(what)
        self.row: list[int] = row.tolist()


class NGrams:
    """A model that says how probable a word is behind others; what it says are natural logarithms.

    It holds those to base 10 in float32, which its ARPA file gives back to the bit.

    A state is the number of a node: the longest context that says anything about the next word. `start` is that behind
    `<s>`; 0 knows nothing.

    >>> tables = [Table(np.array([[0], [1], [2], [3]]), np.log10([0.1, 1, 0.4, 0.5]), np.log10([1, 0.5, 1, 1]))]
    >>> model = NGrams(["<unk>", "<s>", "</s>", "a"], tables)
    >>> scores, states = model.step(np.array([model.start]), np.array([3]))
    >>> np.exp(scores).round(2).tolist()  # "<s> a" is not in it, so the back-off weight of <s> times that of "a"
    [0.25]
    """

    def __init__(self, words: list[str], tables: Sequence[Table]) -> None:
        """Raises Misplaced for n-grams that make no tree. `words`: the first three are `SPECIAL`."""
        self.words = words
        self.order = len(tables)
        self.numbers = {word: number for number, word in enumerate(words)}
        self.keys = np.array([-1])
        self.scores, self.backoffs = np.zeros(1, np.float32), np.zeros(1, np.float32)
        self.starts = [0, 1]
        for table in tables:
            self._append(table)
        self.suffixes = self._suffixes()
        self.contexts = self._contexts()
        self.start = int(self.contexts[max(0, int(self.child(np.array([0]), np.array([BEGIN]))[0]))])

    def _append(self, table: Table) -> None:
        parents = np.zeros(len(table.rows), np.int64)
        for column in table.rows.T[:-1]:
            parents = np.where(parents >= 0, self.child(np.maximum(parents, 0), column), -1)
        if (parents < 0).any():
            raise Misplaced(table.rows[parents.argmin()], "the context is missing")
        keys = parents * len(self.words) + table.rows[:, -1]
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(np.diff(keys[order]) == 0)
        if len(same):
            raise Misplaced(table.rows[order[same[0]]], "there are two")
        self.keys = np.concatenate([self.keys, keys[order]])
        self.scores = np.concatenate([self.scores, table.scores[order].astype(np.float32)])
        self.backoffs = np.concatenate([self.backoffs, table.backoffs[order].astype(np.float32)])
        self.starts.append(len(self.keys))

    @property
    def parents(self) -> np.ndarray:
        """int64 (nodes,): of each node that without its last word; -1 of the root."""
        return self.keys // len(self.words)

    @property
    def lasts(self) -> np.ndarray:
        """int64 (nodes,): each node's last word; of the root no word."""
        return self.keys % len(self.words)

    def child(self, nodes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The nodes of n-grams with one more word, -1 where the model has none."""
        keys = nodes * len(self.words) + words
        found = np.searchsorted(self.keys, keys)
        found[found == len(self.keys)] = 0
        return np.where(self.keys[found] == keys, found, -1)

    def _suffixes(self) -> np.ndarray:
        """Of each node the longest n-gram in the model that it ends with, itself aside."""
        suffixes = np.zeros(len(self.keys), np.int64)
        parents, lasts = self.parents, self.lasts
        for begin, end in zip(self.starts[2:], self.starts[3:], strict=False):
            nodes = np.arange(begin, end)
            shorter = suffixes[parents[nodes]]
            while len(nodes):
                found = self.child(shorter, lasts[nodes])
                there = found >= 0
                suffixes[nodes[there]] = found[there]
                left = ~there & (shorter > 0)
                nodes, shorter = nodes[left], suffixes[shorter[left]]
        return suffixes

    def _contexts(self) -> np.ndarray:
        """Of each node the longest end of it that says anything about the next word: the context of an n-gram, or one
        with a back-off weight. What stands before it makes no difference to the model."""
        says = self.backoffs != 0
        says[self.parents[1:]] = True
        contexts = np.arange(len(self.keys))
        for begin, end in zip(self.starts[1:], self.starts[2:], strict=False):
            own = contexts[begin:end]
            contexts[begin:end] = np.where(says[begin:end], own, contexts[self.suffixes[begin:end]])
        return contexts

    def step(self, states: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln P(word | state) float64 (n,) and the state behind it int64 (n,), of int (n,) states and words."""
        states = np.asarray(states, np.int64).copy()
        scores = np.zeros(len(states))
        after = np.zeros(len(states), np.int64)
        open_ = np.arange(len(states))
        while len(open_):
            here = states[open_]
            found = self.child(here, words[open_])
            there = found >= 0
            scores[open_[there]] += self.scores[found[there]]
            after[open_[there]] = self.contexts[found[there]]
            lost = ~there & (here == 0)  # a model without <unk>
            scores[open_[lost]] += MISSING
            left = ~there & (here > 0)
            open_ = open_[left]
            scores[open_] += self.backoffs[here[left]]
            states[open_] = self.suffixes[here[left]]
        return scores * LN10, after

    def number(self, word: str) -> int:
        """The number of a word; that of `<unk>` for one that the model does not know."""
        return self.numbers.get(word, UNKNOWN)

    def score(self, sentence: Sequence[str]) -> float:
        """ln of the probability of a whole sentence, its end included."""
        total, state = 0.0, np.array([self.start])
        for number in [*map(self.number, sentence), END]:
            scores, state = self.step(state, np.array([number]))
            total += float(scores[0])
        return total

    @cached_property
    def dense(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All answers of `step`, for a model of few words: `scores` float32 and `after` int32, both (states, words),
        and `places` int32 (nodes,), the row of each node that is a state."""
        states = np.unique(self.contexts)
        places = np.zeros(len(self.keys), np.int32)
        places[states] = np.arange(len(states), dtype=np.int32)
        shape = (len(states), len(self.words))
        scores, after = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
        for word in range(len(self.words)):
            column, behind = self.step(states, np.full(len(states), word))
            scores[:, word], after[:, word] = column, places[behind]
        return scores, after, places
