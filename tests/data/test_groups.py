"""Groups are whole on one side; a group may be the test set."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data import groups
from mmtransfer.data.sources import Columns, load
from mmtransfer.errors import MMTransferError

examples = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=2, max_size=80)
fractions = st.floats(0.02, 0.9)
seeds = st.integers(0, 2**31)


@given(examples, fractions, seeds, st.booleans())
@settings(max_examples=150, deadline=None)
def test_groups_are_never_on_both_sides_and_no_class_is_lost(rows, fraction, seed, stratified):
    labels, names = [label for label, _ in rows], [str(name) for _, name in rows]
    arguments = (labels if stratified else None, names, fraction, seed)
    try:
        rest, held = groups.holdout(*arguments)
    except MMTransferError:
        owners = {label: {name for other, name in rows if other == label} for label in labels}
        impossible = all(any(owners[label] == {name} for label, own in rows if own == name) for _, name in rows)
        assert len(set(names)) < 2 or (stratified and impossible)
        return
    assert rest.dtype == held.dtype == np.int64 and len(rest) and len(held)
    assert sorted([*rest, *held]) == list(range(len(rows)))
    assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()
    assert not {names[i] for i in rest} & {names[i] for i in held}
    if stratified:
        assert {labels[i] for i in rest} == set(labels)
    again = groups.holdout(*arguments)
    assert np.array_equal(rest, again[0]) and np.array_equal(held, again[1])


several = st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.integers(0, 6)), min_size=2, max_size=60)


@given(several, fractions, seeds)
@settings(max_examples=150, deadline=None)
def test_no_label_of_several_is_lost(rows, fraction, seed):
    labels, names = [sorted(own) for own, _ in rows], [str(name) for _, name in rows]
    try:
        rest, held = groups.holdout(labels, names, fraction, seed)
    except MMTransferError:
        return
    assert len(held) and {label for i in rest for label in labels[i]} == {label for own in labels for label in own}
    assert not {names[i] for i in rest} & {names[i] for i in held}


def test_shares_are_kept_as_well_as_groups_allow():
    random = np.random.default_rng(0)
    names = [str(n) for n in random.integers(0, 100, 2000)]
    labels = [str(n) for n in random.choice(3, 2000, p=[0.7, 0.2, 0.1])]
    held = groups.holdout(labels, names, 0.2, 0)[1]
    ours, whole = Counter(labels[i] for i in held), Counter(labels)
    assert all(abs(ours[label] / whole[label] - 0.2) < 0.03 for label in whole)
    assert not np.array_equal(held, groups.holdout(labels, names, 0.2, 1)[1])


def test_one_large_group_does_not_upset_the_share():
    names = ["large"] * 500 + [str(n % 50) for n in range(500)]
    assert all(abs(len(groups.holdout(None, names, 0.1, seed)[1]) - 100) <= 10 for seed in range(5))


def test_groups_larger_than_the_share_give_one():
    names = [str(n % 5) for n in range(50)]
    held = groups.holdout(None, names, 0.1, 0)[1]
    assert len(held) == 10
    assert len({names[i] for seed in range(8) for i in groups.holdout(None, names, 0.1, seed)[1]}) > 1


def test_a_class_of_one_group_stays_in_training():
    labels, names = ["x"] * 4 + ["y"] * 4 + ["z"], ["1", "2", "1", "2", "1", "2", "1", "2", "1"]
    assert {names[i] for i in groups.holdout(labels, names, 0.5, 0)[1]} == {"2"}
    with pytest.raises(MMTransferError, match="No group can be held out: each has a class that no other") as error:
        groups.holdout(["x", "x", "y", "y"], ["1", "1", "2", "2"], 0.5, 0)
    assert "--validation DATA of its own" in error.value.do


def test_one_group_cannot_be_split():
    with pytest.raises(MMTransferError, match=r"1 group\(s\) cannot be split in two") as error:
        groups.holdout(None, ["1", "1"], 0.5, 0)
    assert error.value.where == "--group-column of the training data"


def made(names):
    rows = [{"text": f"t{n}", "label": "x", "author": name} for n, name in enumerate(names)]
    return load(rows, "text", Columns(group="author"))


def test_examples_without_a_group_are_each_their_own():
    found = groups.of(made(["a", None, "", "a"]))
    assert found is not None and found[0] == found[3] == "a" and len(set(found)) == 3
    assert groups.of(load([("a", "x")], "text")) is None


def test_a_group_leaves_for_the_test_set():
    rest, test = groups.leave_out(made(["a", "b", None, "a"]), "a")
    assert rest.ids == ["1", "2"] and test.ids == ["0", "3"]


def test_a_group_that_cannot_leave():
    def error(table, name) -> MMTransferError:
        with pytest.raises(MMTransferError) as caught:
            groups.leave_out(table, name)
        return caught.value

    unknown = error(made(["anna", "bob", None]), "ana")
    assert unknown.what == "Unknown group 'ana'" and unknown.do.endswith("known: anna, bob")
    assert unknown.where == "--test-group ana of python:3 rows"
    assert error(load([("a", "x")], "text"), "a").do == "name their column with --group-column"
    assert error(made(["a", "a"]), "a").what == "All training examples are of this group"


def test_shared_groups_are_said(caplog):
    groups.warn_shared(made(["a", "b", None]), made(["c", None]), "--test")
    assert not caplog.text
    groups.warn_shared(made(["a", "b", None]), made(["b", "c", "b", None]), "--test")
    assert "--test shares 1 of its 2 groups with the training data" in caplog.text
