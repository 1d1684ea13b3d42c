"""Forced alignment: by hand, against all paths, and the words of a text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.language.alignment import Spoken, align, words


def frames_of(seed: int, frames: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (frames, 4))
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


@given(st.integers(0, 10**6), st.lists(st.integers(1, 3), max_size=3))
@settings(max_examples=30, deadline=None)
def test_of_all_paths_that_say_the_text_it_is_the_best(seed, symbols):
    log_probs = frames_of(seed, 6)
    best = max(
        float(log_probs[np.arange(6), path].sum())
        for path in itertools.product(range(4), repeat=6)
        if [number for number, _ in itertools.groupby(path) if number] == symbols
    )
    said = align(log_probs, symbols)
    path = [symbols[place] if place >= 0 else 0 for place in said]
    assert [number for number, _ in itertools.groupby(path) if number] == symbols
    assert float(log_probs[np.arange(6), path].sum()) == pytest.approx(best)


def test_words_have_the_frames_of_their_letters():
    path = [0, 2, 2, 0, 2, 1, 0, 3, 0, 0]
    log_probs = np.log(np.eye(4)[path] * 0.8 + 0.05)
    first, second = words(log_probs, [2, 2, 1, 3])
    assert (first.begin, first.end, second.begin, second.end) == (1, 5, 7, 8)
    assert second.confidence == pytest.approx(0.85) and first.confidence == pytest.approx(0.85)
    assert words(log_probs, []) == []


def test_a_text_that_the_frames_rule_out_is_aligned_all_the_same():
    with np.errstate(divide="ignore"):
        found = words(np.log(np.eye(4)[[0, 2, 0, 2]]), [3, 1, 2])
    assert len(found) == 2 and all(isinstance(one, Spoken) and one.begin < one.end for one in found)
