"""Words of a docstring, and what Python says they name."""

from __future__ import annotations

import builtins
import shutil

import pytest

from benchmarks.pretrain.identifiers import Place, sentences, tags, words_of

INDEX = {"ReadError": "exception", "copy_all": None}
PLACE = Place("shutil.x", "", (vars(shutil), vars(builtins)), frozenset({"rmtree"}))


@pytest.mark.parametrize(
    ("sentence", "words", "kinds"),
    [
        ("Like shutil.move(), but raises `OSError`.", "Like shutil.move , but raises OSError .", "OFOOOEO"),
        ("See :func:`~os.path.join` and ``copy2``.", "See os.path.join and copy2 .", "OFOFO"),
        ("Call .copyfile() of the shutil module", "Call copyfile of the shutil module", "OFOOMO"),
        ("Copy the set of int, don't move it", "Copy the set of int , don't move it", "OOOOCOOOO"),
        ("Use the move function", "Use the move function", "OOFO"),
        ("'rmtree' is a parameter, copy_all unknown", "rmtree is a parameter , copy_all unknown", "OOOOOOO"),
        ("A ReadError or a SpecialFileError", "A ReadError or a SpecialFileError", "OEOOE"),
        ("The path of os.path", "The path of os.path", "OOOM"),
    ],
)
def test_words_and_what_they_name(sentence, words, kinds):
    found = words_of(sentence)
    letters = {"O": "O", "exception": "E", "class": "C", "function": "F", "module": "M"}
    assert " ".join(word.text for word in found) == words
    assert "".join(letters[kind] for kind in tags(found, PLACE, INDEX)) == kinds


def test_sentences_are_prose():
    text = "It is so.  Then\nit ends.\n\n>>> code\nmore\n\n    a   table\n\n- One thing - another thing\n\n= 3 ( 4 ) 5"
    assert list(sentences(text)) == ["It is so.", "Then it ends.", "- One thing", "- another thing"]
