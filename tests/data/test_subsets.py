"""Subsets: so many of each class, a share, some minutes; the seed decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data import subsets
from mmtransfer.errors import MMTransferError

classes = st.lists(st.sampled_from("abcd"), min_size=1, max_size=60)
seeds = st.integers(0, 2**31)


@given(classes, st.integers(1, 12), seeds)
@settings(max_examples=80, deadline=None)
def test_shots_of_each_class_and_more_contain_fewer(labels, count, seed):
    taken = subsets.shots(labels, len(labels), count, seed)
    assert (np.diff(taken) > 0).all()
    assert Counter(labels[i] for i in taken) == {name: min(count, n) for name, n in Counter(labels).items()}
    assert set(taken) <= set(subsets.shots(labels, len(labels), count + 1, seed))
    assert np.array_equal(taken, subsets.shots(labels, len(labels), count, seed))


def test_shots_that_a_class_does_not_have_are_said(caplog):
    subsets.shots(["a"] * 5 + ["b"] * 2 + ["c"], 8, 2, 0)
    assert caplog.messages == ["--shots 2: 1 class(es) have fewer, all are taken: 'c' 1"]
    assert len(subsets.shots(None, 8, 9, 0)) == 8
    assert caplog.messages[1] == "--shots 9: there are only 8 training examples, all are taken"


def test_without_classes_shots_are_of_all():
    first, other = (subsets.shots(None, 50, 7, seed) for seed in (0, 1))
    assert len(first) == 7 and not np.array_equal(first, other)


@given(classes, st.floats(0.01, 1.0), seeds)
@settings(max_examples=80, deadline=None)
def test_a_share_of_each_class_and_at_least_one(labels, share, seed):
    taken = Counter(labels[i] for i in subsets.fraction(labels, len(labels), share, seed))
    for name, count in Counter(labels).items():
        assert abs(taken[name] - max(1, share * count)) < 1
    assert len(subsets.fraction(None, len(labels), share, seed)) == max(1, round(share * len(labels)))


def test_examples_that_a_label_needs_are_taken_first(caplog):
    labels = [None if number in (3, 17, 29) else "any" for number in range(30)]
    few, more = subsets.shots(labels, 30, 5, 0), subsets.fraction(labels, 30, 0.4, 0)
    assert len(few) == 5 and len(more) == 12 and {3, 17, 29} <= set(few) <= set(more)
    assert subsets.shots(labels, 30, 2, 0).tolist() == [3, 17, 29]
    assert caplog.messages == ["training on 3 examples instead of 2, so that every label is among them"]


@given(classes, st.integers(1, 70), seeds)
@settings(max_examples=80, deadline=None)
def test_at_most_so_many_in_proportion(labels, count, seed):
    for given_labels in (labels, None):
        assert len(subsets.at_most(given_labels, len(labels), count, seed)) == min(count, len(labels))


@given(st.lists(st.tuples(st.floats(0.5, 20), st.integers(0, 4)), min_size=1, max_size=60), st.floats(0.35, 3), seeds)
@settings(max_examples=80, deadline=None)
def test_minutes_are_kept_and_spread_over_speakers(clips, limit, seed):
    seconds, speakers = [length for length, _ in clips], [speaker for _, speaker in clips]
    taken = subsets.minutes(seconds, speakers, limit, seed)
    total = sum(seconds[i] for i in taken)
    assert 0 < total <= 60 * limit + 1e-9
    left = [length for i, length in enumerate(seconds) if i not in set(taken.tolist())]
    assert not left or total + min(left) > 60 * limit - 1e-9
    assert np.array_equal(taken, subsets.minutes(seconds, speakers, limit, seed))


def test_speakers_take_turns():
    speakers = ["a"] * 90 + ["b"] * 6 + ["c"] * 4
    taken = subsets.minutes([1.0] * 100, speakers, 0.2, 0)
    assert Counter(speakers[i] for i in taken) == {"a": 4, "b": 4, "c": 4}
    assert len(subsets.minutes([1.0] * 100, None, 0.2, 0)) == 12


def test_recordings_longer_than_the_minutes():
    with pytest.raises(MMTransferError) as error:
        subsets.minutes([40.0], None, 0.5, 0)
    assert error.value.what == "All recordings are longer than 30 s" and error.value.where == "--shots-minutes 0.5"
