"""CSV files as people have them."""

from __future__ import annotations

import csv

import pytest

from mmtransfer.data import records
from mmtransfer.errors import MMTransferError


def read(tmp_path, text: str | bytes, name: str = "a.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return records.from_csv(path, "--train a.csv")


def test_values_stay_strings(tmp_path):
    found = read(tmp_path, "text,label\nNA,01\nnull,1e3\n")
    assert found.header == ["text", "label"] and found.rows == [["NA", "01"], ["null", "1e3"]]


@pytest.mark.parametrize("character", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_line_ends_and_byte_order_mark(tmp_path, character, end):
    text = end.join([f"text{character} label", f'"a{character}b"{character}x', "", f"c{character}y", ""])
    found = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert found.header == ["text", "label"]
    assert found.rows == [[f"a{character}b", "x"], ["c", "y"]] and not found.bad
    assert found.places == ["row 0 (line 2)", "row 1 (line 4)"]


def test_lines_are_counted_through_quoted_line_ends(tmp_path):
    found = read(tmp_path, 'text,label\n"two\nlines",x\nc,y\n')
    assert found.places == ["row 0 (line 2)", "row 1 (line 4)"]


def test_ragged_rows_are_told_by_number(tmp_path):
    found = read(tmp_path, "text,label\na,x\nb\nc,y,z\n")
    assert found.bad == {1: "1 fields where the header has 2", 2: "3 fields where the header has 2"}
    assert len(found.rows) == 3 and all(len(row) == 2 for row in found.rows)


def test_a_saved_index_is_no_column(tmp_path):
    found = read(tmp_path, ",text,label\n0,a,x\n1,b\n")
    assert found.header == ["text", "label"] and found.rows[0] == ["a", "x"]
    assert found.bad == {1: "2 fields where the header has 3"}


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "The CSV is empty", "a.csv"),
        ("\n\n", "The CSV is empty", "a.csv"),
        ("text,label\n", "The CSV has a header but no rows", "a.csv"),
        ("text,label,text\na,b,c\n", "The header names a column twice: 'text'", "line 1"),
        ('text,label\na,x\n"b,y\nc,z\n', "Malformed CSV: unexpected end of data", "begins in line 3"),
        ("text,label\ncaf\xe9,x\n".encode("latin-1"), "Not UTF-8 text (byte 14)", "a.csv"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, what, where):
    with pytest.raises(MMTransferError) as error:
        read(tmp_path, text)
    assert error.value.what == what and error.value.where.endswith(where)


def test_long_fields_are_read_and_the_limit_is_put_back(tmp_path):
    csv.field_size_limit(limit := 131_072)
    assert len(read(tmp_path, "text,label\n" + "a" * 200_000 + ",x\n").rows[0][0]) == 200_000
    assert csv.field_size_limit() == limit


def test_wordy_columns_are_those_with_something_else_than_numbers(tmp_path):
    found = read(tmp_path, "id,text,mixed,empty\n1,a,2,\n2.5,b,x,\n")
    assert found.wordy == ["text", "mixed"]


def test_dicts_may_miss_keys():
    found = records.from_dicts([{"text": "a"}, {"label": 3}])
    assert found.header == ["text", "label"] and found.rows == [["a", None], [None, 3]]
