"""Encodings: found, and said where they are not plain UTF-8."""

from __future__ import annotations

import codecs
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtransfer.data import encodings
from mmtransfer.errors import MMTransferError


@given(st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"]), min_size=1))
def test_what_utf_8_and_marks_say_is_read_exactly(text):
    assert encodings.decode(text.encode()) == (text, "utf-8")
    assert encodings.decode(codecs.BOM_UTF8 + text.encode())[0] == text
    for name in ("utf-16", "utf-32"):
        assert encodings.decode(text.encode(name))[0] == text
    assert encodings.decode(codecs.BOM_UTF16_BE + text.encode("utf-16-be"))[0] == text


@pytest.mark.parametrize(
    ("data", "text", "name"),
    [
        (b"caf\xe9 \x80 5", "café € 5", "cp1252"),
        (b"caf\xe9 \x81", "café \x81", "latin-1"),
    ],
)
def test_other_bytes_are_a_guess_that_is_said(tmp_path, caplog, data, text, name):
    (tmp_path / "a.csv").write_bytes(data)
    assert encodings.read_text(tmp_path / "a.csv", "--train a.csv") == text
    assert f"--train a.csv is not UTF-8: read as {name}" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_utf_16_is_said_and_plain_utf_8_is_not(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    (tmp_path / "a").write_bytes("é".encode("utf-16"))
    (tmp_path / "b").write_bytes("é".encode())
    assert encodings.read_text(tmp_path / "b", "b") == encodings.read_text(tmp_path / "a", "a") == "é"
    assert [record.getMessage() for record in caplog.records] == ["a is utf-16, by its byte order mark"]


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(MMTransferError) as error:
        encodings.read_text(tmp_path / "a.csv", "--train a.csv")
    assert error.value.what == "Not a text file (byte 4 is zero)" and error.value.where == "--train a.csv"
    with pytest.raises(MMTransferError, match="Cannot read the file: No such file"):
        encodings.read_text(tmp_path / "none.csv", "--train none.csv")
