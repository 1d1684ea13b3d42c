"""Label columns: one class, several, a number; what cannot be one says why."""

from __future__ import annotations

import numpy as np
import pytest

from mmtransfer.data.kinds import ANSWERS


def read(values, kind, separator="|"):
    return ANSWERS[kind].read_answers(values, separator)


def test_one_class_is_the_string_as_it_stands():
    assert read(["a|b", 7, None, float("nan"), " x"], "label") == (["a|b", "7", "", "", " x"], {})


def test_a_list_is_not_one_class():
    answers, bad = read([["a", "b"], "a"], "label")
    assert answers == ["", "a"] and bad == {0: "the label is a list: --target multi-label takes several labels"}


def test_several_are_sorted_without_repetition_and_may_be_none():
    values = ["b| a|b", "a", "", None, ["b", "a|c"], ("z",), np.array(["y", "x"]), []]
    expected = [["a", "b"], ["a"], [], [], ["a|c", "b"], ["z"], ["x", "y"], []]
    assert read(values, "labels") == (expected, {})
    assert read(["b, a", "a|c"], "labels", ", ")[0] == [["a", "b"], ["a|c"]]


def test_numbers_are_read_from_text_and_python():
    assert read(["1", " -2.5e1 ", 3, np.float32(0.5), "007"], "value") == ([1.0, -25.0, 3.0, 0.5, 7.0], {})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("abc", "the label 'abc' is not a number"),
        ("1,5", "the label '1,5' is not a number"),
        ("", "the label is empty"),
        (None, "the label is empty"),
        ("inf", "the label 'inf' is not a finite number"),
        ("nan", "the label 'nan' is not a finite number"),
    ],
)
def test_what_is_no_number_says_so(value, reason):
    answers, bad = read([value], "value")
    assert np.isnan(answers[0]) and bad == {0: reason}
