"""What the golden runs say of two records."""

from __future__ import annotations

import copy

import pytest

from benchmarks import golden

RECORD = {"text-full": {"losses": "1f", "weights": "a0"}, "text-full, used": {"csv": "77"}}


def test_equal_records_differ_in_nothing() -> None:
    assert golden.compare(RECORD, copy.deepcopy(RECORD)) == []


@pytest.mark.parametrize("name", ["losses", "weights"])
def test_a_hash_that_changed_is_named_with_its_case(name: str) -> None:
    now = copy.deepcopy(RECORD)
    now["text-full"][name] = "00"
    assert golden.compare(RECORD, now) == [f"text-full: other {name}"]


def test_a_case_or_a_hash_that_is_gone_is_no_agreement() -> None:
    assert golden.compare(RECORD, {"text-full": RECORD["text-full"]}) == ["text-full, used: only before"]
    now = copy.deepcopy(RECORD)
    del now["text-full"]["weights"]
    assert golden.compare(RECORD, now) == ["text-full: other weights"]
