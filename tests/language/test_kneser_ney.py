"""Counts and estimation: a corpus by hand, a slow reference, sums of 1, long texts, tiny ones."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer import language
from mmtransfer.errors import MMTransferError
from mmtransfer.language import BEGIN, END, NGrams, counts
from mmtransfer.language.kneser_ney import FALLBACK, discounts

corpora = st.lists(st.lists(st.sampled_from("abcd"), max_size=7), min_size=1, max_size=25).filter(any)
quick = settings(max_examples=30, deadline=None)


def model_of(*sentences: str, order: int) -> NGrams:
    return language.estimate(language.count([sentence.split() for sentence in sentences], order))


def probability(model: NGrams, context: list[str], word: str) -> float:
    state = model.start if context[:1] == ["<s>"] else 0
    for name in context[context[:1] == ["<s>"] :]:
        state = model.step(np.array([state]), np.array([model.number(name)]))[1][0]
    return float(np.exp(model.step(np.array([state]), np.array([model.number(word)]))[0][0]))


def test_a_corpus_by_hand():
    """<s> a b </s> twice, <s> a c </s> once.

    Pairs: <s> a 3, a b 2, a c 1, b </s> 2, c </s> 1, so n1 = 2, n2 = 2, n3 = 1, n4 = 0: Y = 2 / (2 + 4) = 1/3 and
    D1 = 1 - 2/3 * 2/2 = 1/3, D2 = 2 - 3/3 * 1/2 = 3/2, D3 = 3. Words by what stands before them: a 1, b 1, c 1,
    </s> 2 (n3 = 0, so 1/2, 1 and 3/2 are taken), of 5; the discounts take 5/2, half of all, for 5 words.
    """
    model = model_of("a b", "a b", "a c", order=2)
    for word, expected in {"a": 0.2, "b": 0.2, "c": 0.2, "</s>": 0.3, "<unk>": 0.1}.items():
        assert probability(model, [], word) == pytest.approx(expected, abs=1e-7)
    assert probability(model, ["a"], "b") == pytest.approx((2 - 1.5) / 3 + (1.5 + 1 / 3) / 3 * 0.2, abs=1e-7)
    assert probability(model, ["a"], "c") == pytest.approx((1 - 1 / 3) / 3 + (1.5 + 1 / 3) / 3 * 0.2, abs=1e-7)
    assert probability(model, ["a"], "never") == pytest.approx((1.5 + 1 / 3) / 3 * 0.1, abs=1e-7)
    assert probability(model, ["<s>"], "a") == pytest.approx(0.2, abs=1e-7)
    assert probability(model, ["c"], "</s>") == pytest.approx((1 - 1 / 3) / 1 + 1 / 3 * 0.3, abs=1e-7)


def reference(sentences, order):
    """Probabilities of the words behind all contexts, straight from the equations, with dictionaries."""
    raw = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        tokens = ["<s>", *sentence, "</s>"]
        for length in range(1, order + 1):
            raw[length].update(tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1))
    order = max(length for length in range(1, order + 1) if raw[length])
    adjusted = {order: raw[order]}
    for length in range(order - 1, 0, -1):
        left = Counter(gram[1:] for gram in raw[length + 1])
        adjusted[length] = {g: raw[length][g] if g[0] == "<s>" else left[g] for g in raw[length]}
    words = sorted({word for sentence in sentences for word in sentence} | {"</s>", "<unk>"})
    adjusted[1] = {gram: times for gram, times in adjusted[1].items() if gram != ("<s>",)}
    found = {(): {word: 1 / len(words) for word in words}}
    for length in range(1, order + 1):
        taken = (0.0, *(discounts(np.array(list(adjusted[length].values()))) or FALLBACK))
        following = defaultdict(dict)
        for gram, times in adjusted[length].items():
            following[gram[:-1]][gram[-1]] = times
        for context, own in following.items():
            total = sum(own.values())
            gamma = sum(taken[min(times, 3)] for times in own.values()) / total
            shorter = found[()] if length == 1 else found.get(context[1:]) or found[()]
            found[context] = {
                w: (own[w] - taken[min(own[w], 3)] if w in own else 0) / total + gamma * shorter[w] for w in words
            }
    return order, words, found


@quick
@given(corpora, st.integers(1, 5))
def test_a_slow_reference_gives_the_same(sentences, order):
    longest, words, found = reference(sentences, order)
    model = language.estimate(language.count(sentences, order))
    assert model.order == longest
    for context, behind in found.items():
        for word in words:
            assert probability(model, list(context), word) == pytest.approx(behind[word], rel=2e-5), (context, word)


@quick
@given(corpora, st.integers(1, 5))
def test_behind_every_state_the_probabilities_sum_to_one(sentences, order):
    model = language.estimate(language.count(sentences, order))
    words = np.array([number for number in range(len(model.words)) if number != BEGIN])
    for state in np.unique(model.contexts):
        assert np.exp(model.step(np.full(len(words), state), words)[0]).sum() == pytest.approx(1, abs=1e-5)


@quick
@given(corpora, st.integers(1, 4))
def test_the_dense_table_says_what_steps_say(sentences, order):
    model = language.estimate(language.count(sentences, order))
    scores, after, places = model.dense
    for node in np.unique(model.contexts):
        for word in range(len(model.words)):
            score, state = model.step(np.array([node]), np.array([word]))
            assert scores[places[node], word] == pytest.approx(score[0], rel=1e-6)
            assert after[places[node], word] == places[state[0]]


@given(corpora, st.integers(1, 4), st.integers(2, 9))
@quick
def test_counting_in_pieces_changes_nothing(sentences, order, chunk):
    whole = language.count(sentences, order)
    before, counts.CHUNK = counts.CHUNK, chunk
    try:
        pieces = language.count(iter(sentences), order)
    finally:
        counts.CHUNK = before
    assert pieces.words == whole.words
    assert np.array_equal(pieces.rows, whole.rows) and np.array_equal(pieces.times, whole.times)
    assert whole.times.sum() == sum(len(sentence) + 2 for sentence in sentences)


def test_a_text_of_too_many_ngrams_is_cut_aloud(monkeypatch, caplog):
    monkeypatch.setattr(counts, "CHUNK", 100)
    rng = np.random.default_rng(0)
    sentences = ([str(word) for word in rng.integers(0, 50, 8)] for _ in range(1000))
    found = language.count(sentences, 3, most=500)
    assert 500 < len(found.rows) < 800
    assert "more than 500 different 3-grams" in caplog.text


def test_the_marks_of_sentences_are_no_words_of_them():
    model = model_of("a </s> b", "<s>", order=2)
    assert model.words == ["<unk>", "<s>", "</s>", "a", "b"]
    assert probability(model, ["a"], "<unk>") > probability(model, ["b"], "<unk>")


def test_an_order_above_what_the_text_allows_is_lowered():
    assert model_of("yes", "no", order=5).order == 3


def test_a_vocabulary_of_one_word():
    model = model_of("yes", order=3)
    assert model.words[3:] == ["yes"]
    assert probability(model, ["<s>"], "yes") > probability(model, ["<s>"], "no") > 0


def test_no_words_are_an_error():
    for sentences in ([], [[]], [[], []]):
        with pytest.raises(MMTransferError, match="no words"):
            language.count(sentences, 3)


@pytest.mark.parametrize(
    "times, expected",
    [
        ([1, 1, 2, 2, 3], (1 / 3, 1.5, 3.0)),
        ([1, 1, 1, 2, 2, 3, 4], (1 - 2 * 3 / 7 * 2 / 3, 2 - 3 * 3 / 7 * 1 / 2, 3 - 4 * 3 / 7 * 1 / 1)),
        ([1, 2, 2, 3, 3, 3], (1 - 2 / 5 * 2, 2 - 3 / 5 * 3 / 2, 3.0)),
        ([1, 1, 1], None),
        ([], None),
    ],
)
def test_discounts(times, expected):
    assert discounts(np.array(times, np.int64)) == (None if expected is None else pytest.approx(expected))


def test_discounts_below_zero_are_not_taken():
    # n1 = 1, n2 = 1, n3 = 9: D2 = 2 - 3 * 1/3 * 9
    assert discounts(np.array([1, 2, *[3] * 9])) is None


def test_fallen_discounts_are_said(caplog):
    with caplog.at_level(logging.INFO, "mmtransfer"):
        model_of("a", "b", order=2)
    assert "too little text to estimate the discounts of n-grams of 1, 2, 3" not in caplog.text
    assert (
        "too little text to estimate the discounts of n-grams of 1, 2, so usual ones are taken: 0.5, 1.0, 1.5"
        in caplog.text
    )


def test_a_sentence_is_the_product_of_its_words():
    model = model_of("a b", "a b c", "c", order=3)
    parts = [(["<s>"], "a"), (["<s>", "a"], "c"), (["a", "c"], "</s>")]
    assert model.score(["a", "c"]) == pytest.approx(sum(math.log(probability(model, *part)) for part in parts))
    assert model.words[END] == "</s>"
