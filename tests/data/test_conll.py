"""CoNLL column files."""

from __future__ import annotations

import pytest

from mmtransfer.data import conll
from mmtransfer.errors import MMTransferError
from mmtransfer.iob2 import check_iob2, spans


def read(tmp_path, text: str | bytes):
    path = tmp_path / "a.conll"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return conll.read_conll(path, "--train a.conll")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("gap", ["\t", " ", "   "])
def test_a_word_a_line_and_a_blank_line_after_a_sentence(tmp_path, gap, end):
    lines = ["", f"Ada{gap}B-person", f"ran{gap}O", "", "  ", f"on{gap}O"]
    records = read(tmp_path, end.join(lines))
    assert records.header == ["words", "tags"] and not records.bad and records.wordy == []
    assert records.column("words") == [["Ada", "ran"], ["on"]]
    assert records.column("tags") == [["B-person", "O"], ["O"]]
    assert records.places == ["sentence 0 (line 2)", "sentence 1 (line 6)"] and len(records) == 2


def test_of_more_columns_the_first_and_the_last_count(tmp_path):
    records = read(tmp_path, "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    assert records.column("words") == [["EU", "rejects"]] and records.column("tags") == [["B-ORG", "O"]]


@pytest.mark.parametrize("extra", ["1-2\tvámonos\t_\tO\n", "0.1\tyo\tPRON\tO\n", "1-1\tva\t_\t_\n1.1\tyo\tPRON\tO\n"])
@pytest.mark.parametrize("alone", ["", "8.1\ta\tX\tO\n\n"])
def test_conllu_is_refused_with_its_ranges_and_empty_nodes(tmp_path, extra, alone):
    with pytest.raises(MMTransferError) as error:
        read(tmp_path, f"{alone}{extra}1\tvamos\tVERB\tO\n2\tnos\tPRON\tO\n\n1\tal\tADP\tO\n")
    assert error.value.what == "The first column counts the words"


def test_words_that_are_ranges_or_fractions_are_words(tmp_path):
    records = read(tmp_path, "1-2\tCD\tO\n\n1.1\tCD\tO\n3-0\tCD\tB-score\n")
    assert records.column("words") == [["1-2"], ["1.1", "3-0"]]


def test_a_file_of_words_alone_has_no_tags(tmp_path):
    records = read(tmp_path, "# a comment\n#tag\nran\n\n#\non\n")
    assert records.header == ["words"] and list(records.columns) == ["words"]
    assert records.column("words") == [["#tag", "ran"], ["#", "on"]] and not records.bad


def test_between_tabs_words_may_hold_spaces(tmp_path):
    records = read(tmp_path, "New York\tB-place\nis\tO\nit\u2028\x85\xa0?\tO\n")
    assert records.column("words") == [["New York", "is", "it\u2028\x85\xa0?"]]


@pytest.mark.parametrize("gap", ["\t", " "])
def test_a_word_may_begin_with_a_hash_sign(tmp_path, gap):
    text = "#tag O\nran O\n\n# O\n1 O\n\non O\n# O\n".replace(" ", gap)
    records = read(tmp_path, text)
    assert records.column("words") == [["#tag", "ran"], ["#", "1"], ["on", "#"]] and not records.bad


def test_comments_stand_before_a_sentence(tmp_path):
    text = "# id 7\n# text = Ada ran\nAda B-person\nran O\n\n#begin document (x); part 0\n# new\non O\n#end document\n"
    records = read(tmp_path, text)
    assert records.column("words") == [["Ada", "ran"], ["on"]]
    assert records.places == ["sentence 0 (line 3)", "sentence 1 (line 8)"]
    assert records.column("tags")[1] == ["O"] and not records.bad
    later = read(tmp_path, "on\tO\n# where\noff\tO\n")
    assert later.bad == {0: "line 2 has 1 column where most have 2"}


def test_wrong_lines_make_a_sentence_bad(tmp_path):
    records = read(tmp_path, "a\tO\nb\n\nc\tO\n\nd\tO\tO\ne\n\n\tO\nf\tO\n\ng\t\nh\tO\n")
    assert records.bad == {
        0: "line 2 has 1 column where most have 2",
        2: "line 6 has 3 columns where most have 2",
        3: "line 9 has no word",
        4: "line 12 has no tag",
    }
    assert records.places[2] == "sentence 2 (line 6)"
    assert list(map(len, records.column("words"))) == list(map(len, records.column("tags")))


def test_a_file_of_wrong_lines_alone_is_read_as_such(tmp_path):
    records = read(tmp_path, "\tX\tO\n\n\tY\tO\n")
    assert records.bad == {0: "line 1 has no word", 1: "line 3 has no word"}


def test_other_encodings_are_read(tmp_path, caplog):
    assert read(tmp_path, "Zoë\tO\n".encode("utf-8-sig")).column("words") == [["Zoë"]]
    assert read(tmp_path, "Zoë\tO\n".encode("cp1252")).column("words") == [["Zoë"]]
    assert "not UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "The file holds no sentences"),
        ("\n \n\t\n", "The file holds no sentences"),
        ("-DOCSTART- O\n\n", "The file holds no sentences"),
        ("1\tAda\tPROPN\n2\tran\tVERB\n\n1\ton\tADP\n", "The first column counts the words"),
        (b"a\0\n", "Not a text file (byte 1 is zero)"),
    ],
)
def test_files_that_are_no_sentences(tmp_path, text, what):
    with pytest.raises(MMTransferError) as error:
        read(tmp_path, text)
    assert (error.value.what, error.value.where) == (what, "--train a.conll")


@pytest.mark.real
@pytest.mark.parametrize(
    ("split", "sentences", "words", "entities"),
    [("train", 3394, 62730, 1975), ("validation", 1009, 15733, 836), ("test", 1287, 23394, 1079)],
)
def test_wnut17_is_read_whole(data_folder, split, sentences, words, entities):
    records = conll.read_conll(data_folder / "wnut17" / f"{split}.conll", split)
    tags = records.column("tags")
    assert not records.bad and len(records) == sentences
    assert sum(map(len, records.column("words"))) == sum(map(len, tags)) == words
    assert sum(len(spans(own)) for own in tags) == entities and not any(map(check_iob2, tags))
