"""Columns: the user's choice, one guess, or an error that names them."""

from __future__ import annotations

import logging

import pytest

from mmtransfer.data.columns import Columns, choose
from mmtransfer.data.kinds import INPUTS
from mmtransfer.errors import MMTransferError


def chosen(header, modality, labelled=True, wordy=None, **columns):
    return dict(
        choose(
            header, header if wordy is None else wordy, Columns(**columns), INPUTS[modality], labelled, "--train a.csv"
        )
    )


@pytest.mark.parametrize(
    ("header", "modality", "expected"),
    [
        (["text", "category"], "text", {"text": "text", "label": "category"}),
        (["Sentence", "LABEL"], "text", {"text": "Sentence", "label": "LABEL"}),
        (["words", "label"], "text", {"text": "words", "label": "label"}),
        (["question", "kind"], "text", {"text": "question", "label": "kind"}),
        (["id", "text", "label"], "text", {"text": "text", "label": "label"}),
        (["file_name", "species"], "image", {"file": "file_name", "label": "species"}),
        (["file_name", "text"], "audio", {"file": "file_name", "transcript": "text"}),
        (["path", "said", "speaker"], "audio", {"file": "path", "transcript": "said", "group": "speaker"}),
    ],
)
def test_the_one_possible_guess_is_taken_and_said(header, modality, expected, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    assert chosen(header, modality) == expected
    assert all(repr(name) in caplog.text for name in expected.values())


def test_text_is_guessed_among_columns_of_words_only():
    assert chosen(["number", "words", "label"], "text", wordy=["words"])["text"] == "words"


def test_the_users_choice_is_taken_in_silence(caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    found = chosen(["text", "sentence", "a", "label"], "text", text="sentence", label="a")
    assert found == {"text": "sentence", "label": "a"} and not caplog.text


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(MMTransferError) as error:
        chosen(["sentence", "label"], "text", text="sentense")
    assert error.value.what == "Unknown column 'sentense'"
    assert error.value.where == "--text-column of --train a.csv"
    assert "did you mean sentence?" in error.value.do


@pytest.mark.parametrize(
    ("header", "modality", "role", "names"),
    [
        (["text", "sentence", "label"], "text", "text", "'text', 'sentence'"),
        (["text", "label", "category"], "text", "label", "'label', 'category'"),
        (["text", "coarse", "fine"], "text", "label", "'coarse', 'fine'"),
        (["a", "b", "label"], "text", "text", "'a', 'b'"),
        (["image", "path", "label"], "image", "file", "'image', 'path'"),
        (["file", "text", "transcript"], "audio", "transcript", "'text', 'transcript'"),
        (["file", "text", "speaker", "speaker_id"], "audio", "group", "'speaker', 'speaker_id'"),
    ],
)
def test_several_possible_columns_are_named_with_the_flag(header, modality, role, names):
    with pytest.raises(MMTransferError) as error:
        chosen(header, modality)
    assert error.value.what == f"2 columns may hold the {role}: {names}"
    assert error.value.do == f"choose one with --{role}-column NAME"


def test_no_column_left():
    with pytest.raises(MMTransferError, match="No column left for the label; there are 'text'"):
        chosen(["text"], "text")


def test_one_column_cannot_be_both():
    with pytest.raises(MMTransferError, match="One column is given two meanings"):
        chosen(["text", "label"], "text", text="text", label="text")


def test_without_labels_the_answer_is_neither_needed_nor_read():
    assert chosen(["words", "label"], "text", labelled=False) == {"text": "words"}
    assert chosen(["text"], "text", labelled=False, label="category") == {"text": "text"}
    assert chosen(["file", "speaker", "speaker_id"], "audio", labelled=False) == {"file": "file"}
    with pytest.raises(MMTransferError, match="Unknown column 'words'"):
        chosen(["text"], "text", labelled=False, text="words")


# pairs


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["text1", "text2", "label"], ("text1", "text2")),
        (["id", "Sentence_A", "Sentence_B", "label"], ("Sentence_A", "Sentence_B")),
        (["premise", "hypothesis", "gold"], ("premise", "hypothesis")),
        (["question", "answer", "label"], ("question", "answer")),
    ],
)
def test_a_pair_is_guessed_from_usual_names_and_said(header, expected, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    found = chosen(header, "text")
    assert (found["text"], found["pair"]) == expected and found["label"] == header[-1]
    assert f"text {expected[0]!r}, pair {expected[1]!r}" in caplog.text
    assert chosen(header, "text", labelled=False) == {"text": expected[0], "pair": expected[1]}


def test_a_pair_is_not_guessed_where_it_would_take_the_label():
    assert chosen(["question", "answer"], "text") == {"text": "question", "label": "answer"}
    assert chosen(["question", "answer", "id"], "text", label="answer")["text"] == "question"
    assert chosen(["question", "answer"], "text", labelled=False, paired=False) == {"text": "question"}
    with pytest.raises(MMTransferError, match="columns may hold the text"):
        chosen(["text1", "text2", "premise", "hypothesis", "label"], "text")


def test_a_named_pair_column_is_needed_even_without_labels():
    assert chosen(["text", "other"], "text", labelled=False, pair="other") == {"text": "text", "pair": "other"}
    with pytest.raises(MMTransferError) as error:
        chosen(["text", "othr"], "text", labelled=False, pair="other")
    assert error.value.where == "--pair-column of --train a.csv" and "othr" in error.value.do
    with pytest.raises(MMTransferError, match="No column left for the pair") as error:
        chosen(["text", "label"], "text", paired=True)
    assert error.value.do.endswith("--pair-column NAME")
