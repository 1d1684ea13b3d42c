"""N-grams of sentences and how often each occurs, in sorted arrays: the sentences are read once and never kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmtransfer.errors import MMTransferError
from mmtransfer.language.ngrams import BEGIN, END, SPECIAL, UNKNOWN

logger = logging.getLogger("mmtransfer")
PAD = 0
"""What stands in a row before `<s>`; words have their number plus 1 there."""
_BITS, _PACKED = 21, 3
"""Bits of a word in a sorting key of 63, and words of such a key. Every character of Unicode fits as well."""
CHUNK = 1_000_000
"""Words that are counted at once."""
LARGEST = 20_000_000
"""Different n-grams of the longest order that are kept: with order 4 they take half a gigabyte."""


@dataclass(frozen=True)
class Counts:
    """The n-grams of a text. One row ends at each word: `rows` int32 (n, order), sorted, each once, PAD before `<s>`,
    and how often, `times` int64 (n,); `words`: by number."""

    words: list[str]
    rows: np.ndarray
    times: np.ndarray


def count(sentences: Iterable[Sequence[str]], order: int, most: int = LARGEST) -> Counts:
    """The n-grams of sentences, each a sequence of words (or of characters), up to `order` words long.

    Memory grows with the number of different n-grams, of which `most` are kept; where a text has more, the rest of it
    is left out, with a warning.
    Raises MMTransferError where there is not one word, and for more than two million different words.
    """
    numbers = {word: number for number, word in enumerate(SPECIAL)}
    numbers[SPECIAL[BEGIN]] = numbers[SPECIAL[END]] = UNKNOWN  # where a text spells them out, they are no words of it
    rows, times = np.zeros((0, order), np.int32), np.zeros(0, np.int64)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    read = 0
    for numbered in _chunks(sentences, numbers):
        read += len(numbered)
        waiting.append(distinct(_windows(numbered, order)))
        # as many new rows as old ones: each row is sorted a few times, however long the text is
        if sum(len(new) for new, _ in waiting) >= len(rows):
            rows, times = _merged(rows, times, waiting)
            waiting = []
            if len(rows) > most:
                logger.warning(
                    "the text has more than %d different %d-grams: the model is made of its first %d words",
                    most,
                    order,
                    read,
                )
                break
    rows, times = _merged(rows, times, waiting)
    if not ((rows > END + 1) | (rows == UNKNOWN + 1)).any():
        raise MMTransferError("There are no words to make a language model of", "--lm", "give a text with words")
    return Counts(list(numbers), rows, times)


def _chunks(sentences: Iterable[Sequence[str]], numbers: dict[str, int]) -> Iterator[np.ndarray]:
    """Sentences as one array of numbers, each behind the number of `<s>` and before that of `</s>`, in pieces of about
    `CHUNK`; `numbers` learns new words."""
    found: list[int] = []
    for sentence in sentences:
        found.append(BEGIN)
        found += [numbers.setdefault(word, len(numbers)) for word in sentence]
        found.append(END)
        if len(found) >= CHUNK:
            if len(numbers) >= 1 << _BITS:
                raise MMTransferError(
                    "The text has more than two million different words", "--lm", "leave out what is no text, or cut it"
                )
            yield np.array(found, np.int32)
            found = []
    if found:
        yield np.array(found, np.int32)


def _windows(numbered: np.ndarray, order: int) -> np.ndarray:
    """int32 (n, order): the words up to and with each word, PAD before the beginning of its sentence."""
    padded = np.concatenate([np.full(order - 1, PAD, np.int32), numbered + 1])
    rows = np.lib.stride_tricks.sliding_window_view(padded, order).copy()
    # a word is of another sentence if a <s> stands behind it
    begins = rows == BEGIN + 1
    later = np.cumsum(begins[:, ::-1], axis=1)[:, ::-1] - begins
    rows[later > 0] = PAD
    return rows


def _merged(
    rows: np.ndarray, times: np.ndarray, waiting: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    if not waiting:
        return rows, times
    all_rows = np.concatenate([rows, *(new for new, _ in waiting)])
    return distinct(all_rows, np.concatenate([times, *(new for _, new in waiting)]))


def distinct(rows: np.ndarray, times: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, sorted, and the sums of their `times`, (n,) or (n, any); ones if None."""
    keys = [_packed(rows[:, place : place + _PACKED]) for place in range(0, rows.shape[1], _PACKED)]
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")
    new = np.zeros(len(rows), bool)
    new[:1] = True
    for key in keys:
        ordered = key[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    firsts = np.flatnonzero(new)
    weights = np.ones(len(rows), np.int64) if times is None else times[order]
    return rows[order[firsts]], np.add.reduceat(weights, firsts) if len(firsts) else weights


def _packed(columns: np.ndarray) -> np.ndarray:
    key = np.zeros(len(columns), np.int64)
    for column in columns.T:
        key = (key << _BITS) | column
    return key
