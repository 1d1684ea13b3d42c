"""Unlabelled sentences: what is prose, how sentences are made of words, and that nothing held out is among them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from benchmarks.pretrain import sentences, text
from mmtransfer.data import builtin

CODE = '''"""First sentence of the module here. Second one, about rivers and lakes!"""
# A comment that goes on
# over two lines of prose.
x = 1  # no
def f():
    """Return the sum.

    >>> f(1) + f(2) + f(3) + f(4)
    """
'''
FILLER = ["x" * size for size in range(3, 3 + sentences.FUNCTION_WORDS)]
WORDS = [*FILLER, "play", "played", "playing", "plays", "slow", "slowly", "cup", "cups"]


def test_prose_of_code_and_text_files(tmp_path):
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.md").write_text(
        "First sentence of the module here!\n\n| a | table | of | 1 2 3 |\n\nUn café noir ici"
    )
    (tmp_path / "c.json").write_text("this is no prose at all")
    found, paragraphs = sentences.prose([tmp_path])
    assert found == [
        "A comment that goes on over two lines of prose.",
        "First sentence of the module here.",
        "Return the sum.",
        "Second one, about rivers and lakes!",
    ]
    assert paragraphs == []


def test_word_classes_are_read_off_the_vocabulary(monkeypatch):
    monkeypatch.setattr(sentences, "FUNCTION_WORDS", 1)
    words = ["the", "use", "used", "using", "uses", "plan", "planned", "planning", "plans", "o1", "café"]
    words += ["quick", "quickly", "tree", "trees"]
    classes = sentences.word_classes(words)
    assert classes["verb"] == ["use", "plan"] and classes["verbed"] == ["used", "planned"]
    assert classes["verbing"] == ["using", "planning"] and classes["verbs"] == ["uses", "plans"]
    assert classes["noun"] == ["use", "plan", "tree"] and classes["adverb"] == ["quickly"]


def test_made_sentences_are_filled_and_repeatable():
    def made() -> list[str]:
        return sentences.questions(WORDS, 200, np.random.default_rng(0))

    assert made() == made() and len(made()) == 200
    assert not any("{" in sentence for sentence in made())
    assert any("playing" in sentence for sentence in made()) and any(sentence.endswith("?") for sentence in made())
    runs = sentences.phrases(WORDS, 50, np.random.default_rng(0))
    assert len(runs) == 50 and {len(run.split()) for run in runs} <= set(range(1, 9))


def test_overlap_is_a_run_of_six_words_or_the_whole():
    other = ["Where is my new card? It was sent two weeks ago.", "Card lost!"]
    kept = ["It was sent two weeks", "my card lost", "where, is my new"]
    dropped = ["oh WHERE is my new card - it is late", "card lost", "I: it was sent two weeks ago, so"]
    assert sentences.without_overlap([*kept, *dropped], other) == kept


def test_the_built_in_data_are_held_out(monkeypatch):
    monkeypatch.delenv("MMTRANSFER_DATA", raising=False)
    held = builtin.load_builtin("library", "text", "label")["test"].column("text")[:40]
    free = ["a sentence about rivers", "another one about lakes"]
    monkeypatch.setattr(sentences, "prose", lambda: ([*held, *free], []))
    monkeypatch.setattr(text, "COUNTS", {"sentences": 100, "paragraphs": 0, "questions": 20, "phrases": 0})
    texts, counts = text.corpus(WORDS, seed=0)
    assert set(free) <= set(texts) and not set(held) & set(texts)
    assert counts["sentences"] == 2 and counts["questions"] == 20
    assert text.corpus(WORDS, seed=0)[0] == texts


@pytest.mark.real
@pytest.mark.slow
def test_nothing_of_the_benchmarks_is_in_the_corpus(data_folder):
    """The corpus of this machine, searched in another way than the one it is filtered with."""
    pieces = (text.teacher_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    texts, _ = text.corpus(pieces[text.FIRST_WORD :], seed=0)
    others = [*builtin.load_builtin("library", "text", "label")["test"].column("text")]
    for name in ("banking77", "sst2", "trec"):
        for file in sorted((data_folder / name).glob("*.csv")):
            with file.open(newline="") as lines:
                others += [row[0] for row in list(csv.reader(lines))[1:]]
    assert len(others) > 25_000 and len(texts) == text.TEXTS
    normal = "\n" + "\n".join(" ".join(sentences.words(one)) for one in texts) + "\n"
    whole = set(normal.split("\n"))
    for other in others:
        split = sentences.words(other)
        assert " ".join(split) not in whole, other
        assert len(split) < 6 or f" {' '.join(split[:6])} " not in normal, other
