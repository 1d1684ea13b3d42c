"""ARPA files: there and back to the bit, as KenLM reads them, and damaged ones."""

from __future__ import annotations

import gzip

import kenlm
import numpy as np
import pytest

from mmtransfer import language
from mmtransfer.errors import MMTransferError
from mmtransfer.language import sources

SMALL = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-99\t<s>\t-0.3
-0.5\t</s>
-0.4\tHi\t-0.2
-0.6\thi

\\2-grams:
-0.1\t<s> Hi

\\end\\
"""


def sentences(count: int = 400) -> list[list[str]]:
    rng = np.random.default_rng(1)
    words = np.minimum(rng.zipf(1.6, (count, 9)), 60)
    return [[f"w{word}" for word in row[: rng.integers(0, 9)]] for row in words]


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_kenlm_gives_our_probabilities(tmp_path, order):
    model = language.estimate(language.count(sentences(), order))
    language.write_arpa(model, tmp_path / "model.arpa")
    other = kenlm.Model(str(tmp_path / "model.arpa"))
    assert other.order == model.order == order
    for sentence in [*sentences(50), ["w1", "never", "w2"], ["never"], ["w60"] * 8]:
        state, ours = np.array([model.start]), []
        for word in [*sentence, "</s>"]:
            score, state = model.step(state, np.array([model.number(word)]))
            ours.append(score[0] / np.log(10))
        theirs = [score for score, _, _ in other.full_scores(" ".join(sentence))]
        assert np.allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
def test_there_and_back(tmp_path, name):
    model = language.estimate(language.count(sentences(), 3))
    language.write_arpa(model, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    back = language.read_arpa(tmp_path / name)
    assert back.words == model.words and back.order == 3
    for own in ("keys", "scores", "backoffs", "suffixes", "contexts"):
        assert np.array_equal(getattr(back, own), getattr(model, own)), own
    language.write_arpa(back, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_words_of_two_spellings_are_one(tmp_path):
    (tmp_path / "a.arpa").write_text("some header\n" + SMALL)
    model = language.read_arpa(tmp_path / "a.arpa", str.lower)
    assert model.words == ["<unk>", "<s>", "</s>", "hi"]
    scores, _ = model.step(np.array([0, model.start, 0]), np.array([3, 3, 0]))
    assert np.allclose(scores / np.log(10), [-0.4, -0.1, -100])


def test_models_that_lack_the_ends_of_ngrams(tmp_path):
    """A pruned model: "a b c" without "b c"; behind it the longest end that is there counts."""
    text = "\\data\\\nngram 1=5\nngram 2=2\nngram 3=1\n\n\\1-grams:\n-99\t<s>\t-0.1\n-1\t</s>\n-1\ta\t-0.2\n"
    text += "-1\tb\t-0.3\n-1\tc\t-0.4\n\n\\2-grams:\n-0.5\ta b\t-0.6\n-0.7\tc a\n\n\\3-grams:\n-0.1\ta b c\n\n\\end\\\n"
    (tmp_path / "a.arpa").write_text(text)
    model = language.read_arpa(tmp_path / "a.arpa")
    # back-off of <s> and a; b behind a; c behind a b; a behind c; back-off of a and </s>
    assert model.score(["a", "b", "c", "a"]) / np.log(10) == pytest.approx(-1.1 - 0.5 - 0.1 - 0.7 - 1.2, abs=1e-6)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda text: text[: len(text) // 2], "line 7 has 1 parts"),
        (lambda text: text[: text.index("-0.6")], "it ends after line 8"),
        (lambda text: text.replace("\\end\\", ""), "before"),
        (lambda text: text.replace("-0.6\thi\n", ""), "3 1-grams, and tells of 4"),
        (lambda text: text.replace("ngram 2=1\n", ""), "should be"),
        (lambda text: text.replace("-0.4\tHi", "x\tHi"), "no number"),
        (lambda text: text.replace("-0.4\tHi", "0.4\tHi"), "above 1"),
        (lambda text: text.replace("-0.4\tHi", "nan\tHi"), "above 1"),
        (lambda text: text.replace("-0.4\tHi\t-0.2", "-0.4\tHi\t-0.2\tmore"), "4 parts"),
        (lambda text: text.replace("<s> Hi", "<s> Ho"), "none of its 1-grams"),
        (lambda text: text.replace("-0.6\thi", "-0.6\tHi"), "there are two"),
        (lambda text: text.replace("</s>", "hum"), "lack"),
        (lambda text: text.replace("ngram 1=4", "ngram 3=4"), "after 0-grams"),
        (lambda text: "", "before"),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path, change, told):
    path = tmp_path / "a.arpa"
    path.write_text(change(SMALL))
    with pytest.raises(MMTransferError, match="Not a whole ARPA file") as found:
        language.read_arpa(path)
    assert told in found.value.what and str(path) in found.value.where


@pytest.mark.parametrize(
    "data, told",
    [
        (SMALL.replace("Hi", "Hä").encode("latin-1"), "Line 8 is not UTF-8"),
        (SMALL.encode("utf-16"), "UTF-16"),
        (gzip.compress(SMALL.encode(), mtime=0)[:-20], "cut or damaged"),
        (gzip.compress(SMALL.encode(), mtime=0)[:20] + b"xxxxxxxxxxxxxxxxxxxxxx", "cut or damaged"),
        (b"mmap lm http://kheafield.com/code version 5", "binary of KenLM"),
        (b"a\0b", "zeros"),
        (b"x" * (1 << 20) + b"yz", "longer than"),
    ],
)
def test_bytes_that_are_no_text(tmp_path, data, told):
    (tmp_path / "a.arpa").write_bytes(data)
    with pytest.raises(MMTransferError) as found:
        language.read(tmp_path / "a.arpa", 3, str)
    assert told in found.value.what


def test_a_file_is_arpa_by_its_name_or_its_beginning(tmp_path):
    (tmp_path / "model.gz").write_bytes(gzip.compress(("\n\n" + SMALL).encode()))
    (tmp_path / "text").write_text("a b\n\na c\n")
    assert sources.is_arpa(tmp_path / "model.gz")
    model, counted = language.read(tmp_path / "text", 2, str.upper)
    assert counted and model.words[3:] == ["A", "B", "C"]
    with pytest.raises(MMTransferError, match="No such file"):
        language.read(tmp_path / "nothing.arpa", 3, str)


def test_an_empty_text(tmp_path):
    (tmp_path / "text").write_text("\n  \n")
    with pytest.raises(MMTransferError, match="no words"):
        language.read(tmp_path / "text", 3, str)
