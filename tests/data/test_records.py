"""Rows with named columns."""

from __future__ import annotations

from mmtransfer.data import records


def test_dicts_may_miss_keys():
    found = records.from_dicts([{"text": "a"}, {"label": 3}])
    assert found.header == ["text", "label"] and len(found) == 2
    assert found.column("text") == ["a", None] and found.column("label") == [None, 3]


def test_wordy_columns_are_those_with_something_else_than_numbers():
    columns = {"id": ["1", "2.5"], "text": ["a", "b"], "mixed": ["2", "x"], "empty": ["", ""], "kind": [3, None]}
    assert records.wordy(columns) == ["text", "mixed"]


def test_names_that_occur_twice():
    assert records.twice(["b", "a", "b", "a", "c"]) == "'a', 'b'"
