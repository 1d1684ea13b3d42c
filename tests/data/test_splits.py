"""Splits: complete, disjoint, stratified, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data.splits import holdout
from mmtransfer.errors import MMTransferError

counts = st.lists(st.integers(2, 40), min_size=1, max_size=8)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31)


def shuffled(counts: list[int]) -> list[str]:
    labels = [str(number) for number, count in enumerate(counts) for _ in range(count)]
    return [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]


@given(counts, fractions, seeds)
@settings(max_examples=80, deadline=None)
def test_both_sides_are_sorted_disjoint_and_complete(counts, fraction, seed):
    labels = shuffled(counts)
    for given_labels in (labels, None):
        rest, held = holdout(given_labels, len(labels), fraction, seed)
        assert rest.dtype == held.dtype == np.int64
        assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()
        assert sorted([*rest, *held]) == list(range(len(labels)))
        assert len(rest) and len(held)


@given(counts, fractions, seeds)
@settings(max_examples=80, deadline=None)
def test_each_class_gives_its_share_and_is_on_both_sides(counts, fraction, seed):
    labels = shuffled(counts)
    rest, held = holdout(labels, len(labels), fraction, seed)
    ours, all_of = Counter(labels[i] for i in held), Counter(labels)
    assert set(ours) == {labels[i] for i in rest} == set(all_of)
    for label, count in all_of.items():
        share = min(max(count * fraction, 1), count - 1)
        assert abs(ours[label] - share) < 1


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.25])
def test_the_total_keeps_the_fraction(fraction):
    labels = shuffled([17] * 30)  # each class alone would round 1.7 to 2: 60 of 51
    assert len(holdout(labels, len(labels), fraction, 0)[1]) == round(510 * fraction)


def test_an_example_without_a_class_is_not_held_out():
    labels = ["a"] * 6 + [None] * 6 + ["b"] * 6
    assert not set(range(6, 12)) & set(holdout(labels, 18, 0.5, 0)[1].tolist())


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_seed_alone_decides(seed):
    labels = shuffled([50, 50])
    for given_labels in (labels, None):
        first, again, other = (holdout(given_labels, 100, 0.2, s)[1] for s in (seed, seed, seed + 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


def test_the_global_random_state_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    holdout(None, 10, 0.2, 0)
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_class_too_small_to_split_is_named():
    with pytest.raises(MMTransferError) as error:
        holdout(["ant"] * 5 + ["bee", "wasp"], 7, 0.2, 0)
    assert error.value.what == "2 class(es) too small to split, with one example each: 'bee', 'wasp'"
    assert "--validation" in error.value.do


def test_one_example_cannot_be_split():
    with pytest.raises(MMTransferError, match=r"1 example\(s\) cannot be split"):
        holdout(None, 1, 0.2, 0)


def test_an_example_without_a_class_stays_in_the_rest():
    labels = [None, "a", "a", None, "a", "a"]
    rest, held = holdout(labels, 6, 0.5, seed=0)
    assert len(held) == 2 and {0, 3} <= set(rest.tolist())
