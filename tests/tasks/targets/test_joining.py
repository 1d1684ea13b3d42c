"""Words in seconds, and pieces that overlap."""

from __future__ import annotations

import pytest

from mmtransfer.language.alignment import Spoken
from mmtransfer.tasks.base import Word
from mmtransfer.tasks.targets.joining import joined, seam, timed


def words(text: str, *times: tuple[float, float]) -> list[Word]:
    return [Word(word, start, end, 1.0) for word, (start, end) in zip(text.split(), times, strict=True)]


def test_frames_are_seconds_of_the_recording():
    found = timed("a bc", [Spoken(0, 2, 0.5), Spoken(5, 10, 0.9)], begin=20.0, seconds=2.0, frames=10)
    assert found == [Word("a", 20.0, pytest.approx(20.4), 0.5), Word("bc", 21.0, 22.0, 0.9)]


def test_a_word_of_an_overlap_is_there_once():
    first = {"begin": 0.0, "seconds": 10.0, "words": words("one two thr", (1, 2), (8.2, 8.8), (9.6, 10))}
    second = {"begin": 8.0, "seconds": 10.0, "words": words("wo three four", (8, 8.7), (9.5, 10.1), (12, 13))}
    assert [word.text for word in joined([first, second])] == ["one", "two", "three", "four"]


def test_pieces_that_do_not_overlap_have_all_their_words():
    first = {"begin": 0.0, "seconds": 5.0, "words": words("a", (4.5, 5.0))}
    second = {"begin": 5.0, "seconds": 5.0, "words": words("b", (5.0, 5.5))}
    assert [word.text for word in joined([first, second])] == ["a", "b"]


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([], [], 9.0),
        ([(8.5, 9.2)], [(8.6, 9.1)], 9.2),
        ([(8.5, 9.2)], [(9.0, 9.5)], 8.5),
        ([(8.9, 9.2)], [(7.0, 8.95)], 9.2),
        ([(7.0, 11.0)], [], 9.0),
    ],
)
def test_a_seam_is_within_no_word(first, second, expected):
    one, other = (words("w " * len(times), *times) for times in (first, second))
    assert seam(one, other, 8.0, 10.0) == expected
