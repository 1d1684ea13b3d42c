"""CSV files as people have them."""

from __future__ import annotations

import csv
import logging

import pytest

from mmtransfer.data import delimited
from mmtransfer.errors import MMTransferError


def read(tmp_path, text: str | bytes, name: str = "a.csv", named=()):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return delimited.read_csv(path, "--train a.csv", named)


def rows(found) -> list[tuple]:
    return list(zip(*(found.column(name) for name in found.header), strict=True))


def test_values_stay_strings(tmp_path):
    found = read(tmp_path, "text,label\nNA,01\nnull,1e3\n")
    assert found.header == ["text", "label"] and rows(found) == [("NA", "01"), ("null", "1e3")]


@pytest.mark.parametrize("character", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_line_ends_and_encodings(tmp_path, character, end, encoding):
    text = end.join([f"text{character} label", f'"a{character}b"{character}é', "", f"c{character}y", ""])
    found = read(tmp_path, text.encode(encoding))
    assert found.header == ["text", "label"]
    assert rows(found) == [(f"a{character}b", "é"), ("c", "y")] and not found.bad
    assert found.places == ["row 0 (line 2)", "row 1 (line 4)"]


def test_a_delimiter_other_than_a_comma_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    read(tmp_path, "text,label\na,x\n")
    read(tmp_path, "text\tlabel\na\tx\n", "a.tsv")
    assert not caplog.text
    read(tmp_path, "text|label\na|x\n")
    assert "--train a.csv: fields between '|'" in caplog.text


def test_the_delimiter_is_the_one_that_rows_agree_on(tmp_path):
    found = read(tmp_path, "text, spoken;label\na;x\nb, c;y\n")
    assert found.header == ["text, spoken", "label"] and rows(found)[1] == ("b, c", "y")
    found = read(tmp_path, "text,label\nno; never,x\nyes; always,y\n")
    assert rows(found) == [("no; never", "x"), ("yes; always", "y")]


def test_lines_are_counted_through_quoted_line_ends(tmp_path):
    found = read(tmp_path, 'text,label\n"two\nlines",x\nc,y\n')
    assert found.places == ["row 0 (line 2)", "row 1 (line 4)"]


def test_quotes_between_tabs_may_be_characters(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    assert rows(read(tmp_path, 'text\tlabel\n"a b"\tx\n', "a.tsv")) == [("a b", "x")]
    found = read(tmp_path, 'text\tlabel\n"Yes" he said\tx\nc\ty\n', "a.tsv")
    assert rows(found) == [('"Yes" he said', "x"), ("c", "y")]
    assert "line 2: a quote does not close" in caplog.text and "read as they stand" in caplog.text


def test_ragged_rows_are_told_by_number(tmp_path):
    found = read(tmp_path, "text,label\na,x\nb\nc,y,z\n")
    assert found.bad == {1: "1 fields where the header has 2", 2: "3 fields where the header has 2"}
    assert rows(found)[1:] == [("b", ""), ("c", "y")]


def test_a_saved_index_is_no_column(tmp_path):
    found = read(tmp_path, ",text,label\n0,a,x\n1,b\n")
    assert found.header == ["text", "label"] and rows(found)[0] == ("a", "x")
    assert found.bad == {1: "2 fields where the header has 3"}


@pytest.mark.parametrize(
    ("text", "named", "headless"),
    [
        ("words,kind\na,x\nb,y\n", (), False),
        ("0,1\na,x\nb,y\n", (), False),  # pandas names columns so
        ("a,x\nb,y\nc,x\nd,y\ne,x\n", (), True),  # x occurs again among few values
        ("a,x\nb,y\nc,x\nd,y\ne,x\n", ("x",), False),
        ("text,x\nb,y\nc,x\nd,y\ne,x\n", (), False),  # a usual name
        ("a,b\nb,c\nc,a\nd,e\n", (), False),  # occurs again, but every value is another
        ("words,kind\na,x\nwords,kind\na,y\nb,x\nb,y\n", (), False),  # files joined with their headers
        ("a,1\nb,2\n", (), True),
        ("pics/a.JPG,ant\npics/b.JPG,bee\n", (), True),
        ("clip.flac;hello\n", (), True),
    ],
)
def test_a_first_row_that_cannot_be_a_header_is_data(tmp_path, caplog, text, named, headless):
    caplog.set_level(logging.INFO, "mmtransfer")
    found = read(tmp_path, text, named=named)
    assert found.headless == headless
    assert ("has no header: its columns are called 0, 1" in caplog.text) == headless
    assert len(found) == text.count("\n") - (not headless)
    assert found.places[0] == f"row 0 (line {1 if headless else 2})"


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "The CSV is empty", "a.csv"),
        ("\n\n", "The CSV is empty", "a.csv"),
        ("text,label\n", "The CSV has a header but no rows", "a.csv"),
        ("text,label,text\na,b,c\n", "The header names a column twice: 'text'", "line 1"),
        ('text,label\na,x\n"b,y\nc,z\n', "Malformed CSV: unexpected end of data", "begins in line 3"),
        ("text,label\na\0,x\n", "Not a text file (byte 12 is zero)", "a.csv"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, what, where):
    with pytest.raises(MMTransferError) as error:
        read(tmp_path, text)
    assert error.value.what == what and error.value.where.endswith(where)


def test_long_fields_are_read_and_the_limit_is_put_back(tmp_path):
    csv.field_size_limit(limit := 131_072)
    assert len(read(tmp_path, "text,label\n" + "a" * 200_000 + ",x\n").column("text")[0]) == 200_000
    assert csv.field_size_limit() == limit
