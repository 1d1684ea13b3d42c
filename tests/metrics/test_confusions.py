"""Two texts side by side, words that are taken for others, and the rate of parts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.cli.ending import often_wrong
from mmtransfer.metrics import WER, align, pairs, word_errors
from mmtransfer.metrics.confusions import MOST_WORDS, counted, marked

texts = st.lists(st.sampled_from(["a", "b", "c", "ä", "a\u0308"]), max_size=9).map(" ".join)


@given(texts, texts)
@settings(max_examples=100, deadline=None)
def test_pairs_are_an_alignment_that_align_counts(reference, hypothesis):
    found = pairs(reference, hypothesis)
    composed = [text.replace("a\u0308", "ä").split() for text in (reference, hypothesis)]
    assert [[word for word in side if word is not None] for side in zip(*found, strict=True)] in (composed, [])
    assert bool(found) == any(composed) and (None, None) not in found
    edits = align(*composed)
    both = [said is not None and heard is not None and said != heard for said, heard in found]
    assert sum(both) == edits.substitutions
    assert sum(heard is None for _, heard in found) == edits.deletions
    assert sum(said is None for said, _ in found) == edits.insertions
    assert counted(found) == (edits.total, len(composed[0]))


def test_an_alignment_to_be_read():
    assert marked(pairs("one two three", "one too three four")) == "one [two>too] three [>four]"
    assert marked(pairs("one two", "two")) == "[one>] two" and marked(pairs("", "")) == ""


def test_errors_by_hand():
    references = ["go left", "go right", "stop", "go left now"]
    predictions = ["no left", "no right", "stop it", "go left"]
    found = word_errors(references, predictions, ["ann", "ann", "bob", "bob"], {"seconds": [1.0, None, 3.0, 2.0]})
    assert [found[name] for name in ("words", "substitutions", "deletions", "insertions")] == [8, 2, 1, 1]
    assert found["substituted"] == [{"said": "go", "heard": "no", "times": 2, "of": 3}]
    assert found["deleted"] == [{"said": "now", "times": 1, "of": 1}]
    assert found["inserted"] == [{"heard": "it", "times": 1}]
    ann, bob = found["by_speaker"]
    assert (ann["speaker"], ann["recordings"], ann["words"], ann["wer"]) == ("ann", 2, 4, 0.5)
    assert bob["speaker"] == "bob" and bob["wer"] == 0.5 and ann["low"] is not None
    assert [(part["from"], part["to"], part["words"]) for part in found["by_seconds"]] == [
        (1, 1, 2),
        (2, 2, 3),
        (3, 3, 1),
    ]


def test_the_most_frequent_are_told_in_a_line():
    found = word_errors(["go left", "go right", "stop", "now"] * 2, ["no left", "no right", "stop it", "now"] * 2)
    told = "test, most often heard wrong: go as no (4 times), it where it was not said (2 times)"
    assert often_wrong("test", found) == told
    assert often_wrong("test", word_errors(["a"], ["b"])).endswith("no word more than once")


def test_the_rate_of_a_part_has_the_interval_of_a_score():
    references, predictions = ["a b", "a b c", "b", "c a", "a"] * 4, ["a c", "b c", "b", "c a", "b"] * 4
    speakers = [f"s{number % 7}" for number in range(20)]
    (whole,) = word_errors(references, predictions, speakers, {"same": [1.0] * 20})["by_same"][:1]
    metric = WER()
    metric.add_batch(predictions=predictions[:5], references=references[:5], groups=speakers[:5])
    score = metric.scores()["wer"]
    assert (whole["words"], whole["wer"]) == (score.n, pytest.approx(score.value))
    assert (whole["low"], whole["high"]) == (pytest.approx(score.low), pytest.approx(score.high))


def test_of_many_kinds_of_errors_the_most_frequent_are_told():
    references = [f"w{number % 40}" for number in range(45)]
    found = word_errors(references, ["x"] * 45)
    assert len(found["substituted"]) == MOST_WORDS and found["substitutions"] == 45
    assert [row["times"] for row in found["substituted"][:6]] == [2, 2, 2, 2, 2, 1]
    assert found["by_speaker"] == []
