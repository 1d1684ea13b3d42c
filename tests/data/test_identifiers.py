"""The built-in sentences with tagged words: frozen, whole, and not solved by a look-up."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest

from mmtransfer.data import builtin
from mmtransfer.iob2 import check_iob2

FILE = Path(builtin.__file__).parent / builtin.IDENTIFIERS
KINDS = {"B-exception", "B-class", "B-function", "B-module"}


@pytest.fixture(scope="module")
def splits():
    return {split: list(table.rows) for split, table in builtin.load_builtin("identifiers", "words", "tags").items()}


def names(rows) -> set[str]:
    """Words that name something, in small letters."""
    return {word.lower() for row in rows for word, tag in zip(row["words"], row["tags"], strict=True) if tag != "O"}


def test_they_are_frozen(splits):
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 3954, "test": 1316}
    content = repr([sorted(row.items()) for rows in splits.values() for row in rows])
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "45127fbb3186b535"
    assert b"PSF License Agreement" in pyarrow.parquet.read_schema(FILE).metadata[b"source"]
    assert FILE.stat().st_size < 4e5


def test_every_word_has_its_tag(splits):
    for rows in splits.values():
        counts = Counter(tag for row in rows for tag in row["tags"])
        assert counts.keys() == {"O", *KINDS} and min(counts.values()) > 40
        for row in rows:
            assert len(row["words"]) == len(row["tags"]) and 4 <= len(row["words"]) <= 60
            assert all(word and not word.isspace() for word in row["words"]) and check_iob2(row["tags"]) is None
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids) and all(name.startswith("identifiers/") for name in ids)


def test_no_name_is_in_both_splits(splits):
    assert not names(splits["train"]) & names(splits["test"]) and len(names(splits["test"])) > 400


def test_names_have_neither_brackets_nor_modules_before_them(splits):
    for name in names(splits["train"]) | names(splits["test"]):
        assert name.isidentifier()


def test_some_sentences_name_nothing_and_some_words_only_look_like_names(splits):
    for rows in splits.values():
        unnamed = [row for row in rows if set(row["tags"]) == {"O"}]
        assert 0.25 < len(unnamed) / len(rows) < 0.4
        assert sum(any("_" in word for word in row["words"]) for row in unnamed) > 50
