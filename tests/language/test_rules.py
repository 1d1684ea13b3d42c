"""Rules of transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.language import rules


@pytest.mark.parametrize(
    "text, basic, english",
    [
        ("  A  b\n", "a b", "a b"),
        ("Well-known, isn't it?", "well known isn't it", "well known is not it"),
        ("It\u2019s 'quoted'", "it's quoted", "it's quoted"),
        ("1,000.50 (about)", "1,000.50 about", "1,000.50 about"),
        ("version 3.", "version 3", "version 3"),
        ("[noise] um <unk> yes", "um yes", "yes"),
        ("I'm sure they'll can't", "i'm sure they'll can't", "i am sure they will can not"),
        ("caf\u0065\u0301!", "café", "café"),
        ("你好，世界。", "你好 世界", "你好 世界"),
        ("n't 'll", "n't ll", "n't ll"),
        ("...", "", ""),
    ],
)
def test_rules(text, basic, english):
    assert rules.apply(text, "basic") == basic
    assert rules.apply(text, "english") == english


def test_none_leaves_letters_and_signs_alone():
    assert rules.apply(" Mr.  O\u2019Neil\u0301! ", "none") == "Mr. O\u2019Neiĺ!"


@given(st.text(max_size=40), st.sampled_from(["none", "basic", "english"]))
@settings(max_examples=100, deadline=None)
def test_a_rule_has_nothing_more_to_do(text, rule):
    once = rules.apply(text, rule)
    assert rules.apply(once, rule) == once


def test_digits_are_counted():
    assert rules.with_digits(["room 4", "room four", "42"]) == 2
