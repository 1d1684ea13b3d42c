"""The beam search: sums over all paths, one-hot frames, batches, language models in it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer import language
from mmtransfer.language.beam import Search, search
from mmtransfer.language.lexicon import NO_WORD, ROOT, lexicon
from mmtransfer.language.scorer import Bonus, Weights, Words

SYMBOLS = ["<blank>", "|", "a", "b"]
WIDE = Search(beam=100_000, least=-np.inf, width=np.inf, skip=0.0)
quick = settings(max_examples=15, deadline=None)


def random_frames(seed: int, frames: int, batch: int = 1, sharp: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharp, (batch, frames, len(SYMBOLS)))
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


def text(symbols, names=SYMBOLS) -> str:
    return " ".join("".join(" " if number == 1 else names[number] for number in symbols).split())


def collapsed(path) -> str:
    return text([number for number, _ in itertools.groupby(path) if number])


def sums(log_probs: np.ndarray) -> dict[str, float]:
    """ln of the probability of every text, over all paths."""
    found: dict[str, float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = float(log_probs[np.arange(len(path)), path].sum())
        said = collapsed(path)
        found[said] = np.logaddexp(found.get(said, -np.inf), score)
    return found


def models(*sentences: str, order: int = 2):
    split = [sentence.split() for sentence in sentences]
    words = language.estimate(language.count(split, order))
    letters = language.estimate(language.count(sorted({word for words in split for word in words}), order))
    return words, letters


@quick
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_a_search_of_everything_sums_all_paths(seed, frames):
    log_probs = random_frames(seed, frames)
    found = search(log_probs, Bonus(), WIDE, best=1000)[0]
    expected = sums(log_probs[0])
    assert len(found) == len(expected)
    for one in found:
        assert one.acoustic == pytest.approx(expected[text(one.symbols)], abs=1e-9)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@quick
@given(st.integers(0, 10**6), st.floats(0, 2), st.floats(-1, 1))
def test_with_language_models_the_best_text_is_that_of_all(seed, model, word):
    log_probs, weights = random_frames(seed, 5), Weights(model, word)
    words, letters = models("a b", "ab", "ab a", "b ab")
    found = search(log_probs, Words(words, letters, SYMBOLS, weights), WIDE, best=1000)[0]

    def score(said: str) -> float:
        total, state = 0.0, np.array([words.start])
        for own in said.split():
            part, state = words.step(state, np.array([words.number(own)]))
            total += part[0] + (letters.score(own) if own not in words.numbers else 0.0)
        return model * (total + words.step(state, np.array([language.END]))[0][0]) + word * len(said.split())

    expected = {said: own + score(said) for said, own in sums(log_probs[0]).items()}
    assert {text(one.symbols): one.score for one in found} == pytest.approx(expected, abs=1e-5)


def one_hot(path) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.eye(len(SYMBOLS))[list(path)])[None]


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.sampled_from([1, 3, 50]))
def test_on_one_hot_frames_all_decoders_agree(path, beam):
    words, letters = models("a b", "bb", order=3)
    for scorer in (Bonus(), Bonus(3.0), Words(words, letters, SYMBOLS, Weights(2.0, -1.0))):
        found = search(one_hot(path), scorer, Search(beam=beam))[0]
        assert text(found[0].symbols) == collapsed(path)
        assert found[0].acoustic == pytest.approx(0.0)


def test_certain_frames_have_one_text():
    found = search(one_hot([0, 2, 2, 0, 2, 1, 1, 3, 0, 1]), Bonus(), best=3)[0]
    assert [text(one.symbols) for one in found] == ["aa b"]


@quick
@given(st.integers(0, 10**6))
def test_a_recording_is_heard_alike_alone_and_in_a_batch(seed):
    frames = [row[:length] for row, length in zip(random_frames(seed, 12, batch=5), [12, 0, 7, 12, 3], strict=True)]
    words, letters = models("a b", "ab", "ab a")
    scorer = Words(words, letters, SYMBOLS, Weights(0.7, 0.1))
    together = search(frames, scorer, Search(beam=8), best=4)
    assert together == [search([own], scorer, Search(beam=8), best=4)[0] for own in frames]
    assert together[1][0].symbols == [] and together == search(frames, scorer, Search(beam=8), best=4)


def test_skipped_blanks_keep_letters_apart_and_their_probability():
    path = [2, 0, 0, 2, 3, 0]
    log_probs = np.log(np.eye(4)[path] * 0.995 + 0.00125)[None]
    skipping, whole = (search(log_probs, Bonus(), Search(skip=skip))[0][0] for skip in (math.log(0.99), 0.0))
    assert text(skipping.symbols) == text(whole.symbols) == "aab"
    assert skipping.acoustic == pytest.approx(whole.acoustic, abs=0.02)


def test_nothing_to_hear():
    assert search([], Bonus()) == []
    assert search(np.zeros((1, 0, 4)), Bonus())[0][0].symbols == []
    silent = np.log(np.full((1, 50, 4), 1e-4) + np.eye(4)[0])
    words, letters = models("a b", "ab")
    assert search(silent, Words(words, letters, SYMBOLS, Weights()), best=5)[0][0].symbols == []


def test_the_language_decides_what_the_acoustics_leave_open():
    """Frames that say a or b alike, behind an a; the training text has "a b" only."""
    path = np.array([[0.01, 0.01, 0.97, 0.01], [0.01, 0.97, 0.01, 0.01], [0.02, 0.0, 0.5, 0.48]])
    log_probs = np.log(np.maximum(path, 1e-9))[None]
    words, letters = models(*["a b"] * 5, "a", order=2)
    assert text(search(log_probs, Bonus())[0][0].symbols) == "a a"
    assert text(search(log_probs, Words(words, letters, SYMBOLS, Weights(1.0)))[0][0].symbols) == "a b"


def test_a_bonus_makes_words():
    log_probs = np.log([[[0.01, 0.01, 0.97, 0.01], [0.01, 0.4, 0.01, 0.58], [0.01, 0.01, 0.01, 0.97]]])
    assert text(search(log_probs, Bonus())[0][0].symbols) == "ab"
    assert text(search(log_probs, Bonus(2.0))[0][0].symbols) == "a b"


def test_a_tree_of_words():
    words, _ = models("a ab", "ab é", "b")
    tree = lexicon(words, SYMBOLS)
    a = tree.children[ROOT, 2]
    ab = tree.children[a, 3]
    assert tree.words[[ROOT, a, ab]].tolist() == [NO_WORD, words.number("a"), words.number("ab")]
    assert not tree.children[ab].any() and not tree.children[0].any()
    single = {word: words.step(np.array([0]), np.array([words.number(word)]))[0][0] for word in ("a", "ab", "b")}
    assert tree.best[ab] == single["ab"] and tree.best[a] == max(single["a"], single["ab"])
