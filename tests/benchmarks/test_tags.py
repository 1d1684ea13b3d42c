"""What a score of tagged words stands beside: a look-up and a logistic regression."""

from __future__ import annotations

import doctest
import sys

import pytest

from benchmarks import tags
from mmtransfer.data import builtin
from mmtransfer.errors import MMTransferError


def test_the_examples_of_the_documentation_run():
    result = doctest.testmod(tags)
    assert result.attempted and not result.failed


def test_of_equally_frequent_tags_the_first_in_the_alphabet():
    predict = tags.majority_tags([["a", "a", "b", "b"]], [["Y", "X", "X", "Z"]])
    assert predict([["b", "a", "new"], []]) == [["X", "X", "X"], []]


def test_a_look_up_finds_none_of_the_built_in_names():
    train, test = (tags.sentences("builtin:identifiers", split) for split in ("train", "test"))
    assert tags.scores(tags.majority_tags(*train)(test[0]), test[1]).startswith("entity_f1 0.000")


def test_neighbours_tell_what_spelling_does_not():
    words = [["raises", "x", "now"], ["calls", "x", "now"]] * 5
    answers = [["O", "B-a", "O"], ["O", "B-b", "O"]] * 5
    assert tags.logistic_tags(words, answers, 1)(words) == answers != tags.logistic_tags(words, answers, 0)(words)


def test_the_command_prints_a_line_each(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.conll").write_text("Ada\tB-person\nran\tO\n\nBo\tB-person\nran\tO\n")
    file = str(tmp_path / "a.conll")
    monkeypatch.setattr(sys, "argv", ["tags", "baseline", "--train", file, "--test", file])
    tags.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("majority tag of each word: entity_f1 1.000 [")


def test_sentences_of_a_parquet_file_are_read(tmp_path):
    import pyarrow.parquet

    table = builtin.load_builtin("identifiers", "words", "tags")["test"]
    pyarrow.parquet.write_table(table.rows.table, tmp_path / "a.parquet")
    assert tags.sentences(str(tmp_path / "a.parquet"), "any") == tags.sentences("builtin:identifiers", "test")


def test_sentences_without_tags_are_refused(tmp_path):
    (tmp_path / "a.conll").write_text("Ada\nran\n")
    with pytest.raises(MMTransferError, match="No column left for the tags"):
        tags.sentences(str(tmp_path / "a.conll"), "train")
