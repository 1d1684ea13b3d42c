"""JSON as tables."""

from __future__ import annotations

import pytest

from mmtransfer.data import jsonlines
from mmtransfer.errors import MMTransferError


def read(tmp_path, text: str, name: str = "a.jsonl"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return jsonlines.read_json(tmp_path / name, "--train a")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson"])
def test_an_object_a_line(tmp_path, name):
    found = read(tmp_path, '{"text": "a\u2028b", "labels": ["x", "y"]}\r\n\n{"n": 1.5, "text": null}\n', name)
    assert found.header == ["text", "labels", "n"] and found.places == ["row 0 (line 1)", "row 1 (line 3)"]
    assert found.column("text") == ["a\u2028b", None] and found.column("labels") == [["x", "y"], None]
    assert found.wordy == ["text"] and not found.bad


def test_a_list_of_objects(tmp_path):
    found = read(tmp_path, '\n[{"a": "x"},\n {"a": 3}, 7]', "a.json")
    assert found.column("a") == ["x", 3, None] and found.bad == {2: "not a JSON object but a int"}


def test_broken_lines_are_bad_rows(tmp_path):
    found = read(tmp_path, '{"a": "x"}\n{"a": \n["b"]\n')
    assert found.places[1] == "row 1 (line 2)"
    assert found.bad == {1: "not JSON (Expecting value at character 7)", 2: "not a JSON object but a list"}


@pytest.mark.parametrize(
    ("text", "name", "what", "where"),
    [
        ("", "a.jsonl", "The file holds no rows", "--train a"),
        ("[]", "a.json", "The file holds no rows", "--train a"),
        ('[{"a": 1},\n {"a" 2}]', "a.json", "Not JSON: Expecting ':' delimiter", "--train a, line 2, character 7"),
        ('{\n"data": [\n1]\n}', "a.json", "The file is one JSON object over several lines", "--train a"),
    ],
)
def test_files_that_are_no_rows(tmp_path, text, name, what, where):
    with pytest.raises(MMTransferError) as error:
        read(tmp_path, text, name)
    assert (error.value.what, error.value.where) == (what, where)
