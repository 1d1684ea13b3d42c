"""Kinds of columns: what words and tags may be, and which columns hold them."""

from __future__ import annotations

import numpy as np
import pytest

from mmtransfer.data.columns import Columns, choose
from mmtransfer.data.kinds import ANSWERS, INPUTS
from mmtransfer.data.sources import load
from mmtransfer.errors import MMTransferError

SENTENCES = [(["Ann", "left", "Oslo"], ["B-person", "O", "B-place"]), (["Rain", "."], ["O", "O"])]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Ann left", "words must be a list of texts, not one text"),
        (None, "words must be a list of texts, not nothing"),
        (["Ann", 3], "a word must be a str, not a int"),
    ],
)
def test_what_are_no_words_says_so(value, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        INPUTS["words"].read_input(value, tmp_path, 0)


def test_words_and_tags_are_read_from_lists_dicts_and_files(tmp_path):
    (tmp_path / "a.conll").write_text("Ann\tB-person\nleft\tO\nOslo\tB-place\n\nRain\tO\n.\tO\n")
    (tmp_path / "a.jsonl").write_text(
        '{"tokens": ["Ann", "left", "Oslo"], "ner_tags": ["B-person", "O", "B-place"]}\n'
        '{"tokens": ["Rain", "."], "ner_tags": ["O", "O"]}\n'
    )
    dicts = [{"words": words, "tags": tags} for words, tags in SENTENCES]
    tables = [load(source, "words") for source in (SENTENCES, dicts, tmp_path / "a.conll", tmp_path / "a.jsonl")]
    assert len({table.fingerprint for table in tables}) == 1
    assert tables[0].column("words") == [words for words, _ in SENTENCES]
    assert tables[0].answers == [tags for _, tags in SENTENCES] and tables[0].answer.name == "tags"
    (tmp_path / "a.txt").write_text("Ann left  Oslo\n\nRain .\n")
    assert load(tmp_path / "a.txt", "words", labelled=False).column("words") == [words for words, _ in SENTENCES]


def test_tags_of_another_length_than_the_words_name_the_row():
    with pytest.raises(MMTransferError, match="row 1: there are 1 tags for 2 words"):
        load([SENTENCES[0], (["Rain", "."], ["O"])], "words")
    with pytest.raises(MMTransferError, match="row 0: the tag of word 2 is empty"):
        load([(["Rain", "."], ["O", " "])], "words")
    with pytest.raises(MMTransferError, match="row 0: there are no words"):
        load([([], [])], "words")


def test_equal_words_with_other_tags_are_told_apart():
    kind = ANSWERS["tags"]
    assert kind.spelled(["A", "b"], str.lower) == ("a", "b") != kind.spelled(["b", "A"], str.lower)
    assert ANSWERS["labels"].spelled(["A", "b"], str.lower) == ANSWERS["labels"].spelled(["b", "A"], str.lower)
    assert kind.read_answer(np.array(["O", "B-x"]), "|") == ["O", "B-x"]


def test_a_label_beside_a_transcript_is_the_users_choice():
    def chosen(header, **names):
        return choose(header, header, Columns(kind="label", **names), INPUTS["audio"], True, "--train a.csv")

    with pytest.raises(MMTransferError, match="2 columns may hold the label: 'label', 'text'") as caught:
        chosen(["file", "label", "text"])
    assert caught.value.do == "choose one with --label-column NAME"
    assert chosen(["file", "label", "text"], label="text")["label"] == "text"
    assert chosen(["file", "label"])["label"] == "label"
    assert chosen(["file", "word", "speaker"]) == {"file": "file", "label": "word", "group": "speaker"}
    spoken = choose(["file", "label", "text"], [], Columns(), INPUTS["audio"], True, "--train a.csv")
    assert spoken["transcript"] == "text"
