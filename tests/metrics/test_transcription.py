"""Word and character error rates: jiwer's counts, pieces and speakers, odd texts."""

from __future__ import annotations

import socket

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import CER, WER, Edits, align, jackknife

words = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c", "ä"]), max_size=9)
texts = st.tuples(words.filter(bool).map(" ".join), words.map(" ".join))
recordings = st.lists(texts, min_size=1, max_size=6)
quick = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize(
    "reference, hypothesis, edits",
    [
        ("", "", (0, 0, 0)),
        ("abc", "abc", (0, 0, 0)),
        ("abc", "", (0, 3, 0)),
        ("", "abc", (0, 0, 3)),
        ("abc", "axc", (1, 0, 0)),
        ("abcd", "acd", (0, 1, 0)),
        ("acd", "abcd", (0, 0, 1)),
        ("kitten", "sitting", (2, 0, 1)),
        ("ab", "ba", (0, 1, 1)),  # as short as two substitutions, with one hit
    ],
)
def test_align_by_hand(reference, hypothesis, edits):
    assert align(reference, hypothesis) == Edits(*edits)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
@settings(max_examples=200, deadline=None)
def test_align_is_levenshtein_with_the_most_hits(reference, hypothesis):
    found = align(reference, hypothesis)
    best = {(i, 0): (i, 0) for i in range(len(reference) + 1)} | {(0, j): (j, 0) for j in range(len(hypothesis) + 1)}
    for i, a in enumerate(reference, 1):
        for j, b in enumerate(hypothesis, 1):
            edits, substitutions = best[i - 1, j - 1]
            diagonal = (edits + (a != b), substitutions + (a != b))
            gaps = [(best[p][0] + 1, best[p][1]) for p in ((i - 1, j), (i, j - 1))]
            best[i, j] = min(diagonal, *gaps)
    assert (found.total, found.substitutions) == best[len(reference), len(hypothesis)]
    assert found.insertions - found.deletions == len(hypothesis) - len(reference)
    assert min(found.substitutions, found.deletions, found.insertions) >= 0


@pytest.mark.parametrize("cls, process", [(WER, jiwer.process_words), (CER, jiwer.process_characters)])
@given(pairs=recordings)
@quick
def test_counts_are_jiwers(cls, process, pairs):
    references, predictions = (list(side) for side in zip(*pairs, strict=True))
    metric = cls()
    rate = metric.compute(predictions=predictions, references=references)[metric.label]
    known = process(references, predictions)
    assert rate == pytest.approx(getattr(known, metric.label), abs=1e-12)
    edits = metric.substitutions + metric.deletions + metric.insertions
    assert edits == known.substitutions + known.deletions + known.insertions
    assert metric.insertions - metric.deletions == known.insertions - known.deletions
    tokens = known.hits + known.substitutions + known.deletions
    assert metric.scores()[metric.label].n == tokens
    assert tokens - metric.substitutions - metric.deletions >= known.hits


@given(recordings, st.integers(1, 4))
@quick
def test_pieces_equal_the_whole(pairs, size):
    references, predictions = zip(*pairs, strict=True)
    speakers = [f"s{number % 3}" for number in range(len(pairs))]
    for cls in (WER, CER):
        whole, pieces, single = cls(), cls(), cls()
        whole.add_batch(predictions=predictions, references=references, groups=speakers)
        for start in range(0, len(pairs), size):
            part = slice(start, start + size)
            pieces.add_batch(predictions=predictions[part], references=references[part], groups=speakers[part])
        for prediction, reference, speaker in zip(predictions, references, speakers, strict=True):
            single.add(prediction=prediction, reference=reference, group=speaker)
        assert pieces.groups == single.groups == whole.groups
        assert pieces.compute() == single.compute() == whole.compute()
        assert pieces.scores() == whole.scores() and len(pieces) == len(whole) == len(pairs)


def test_interval_by_speaker_by_recording_and_mixed():
    references = ["one two three four", "one two", "one two three", "one"]
    predictions = ["one two tree four", "one two", "won two three four", "one"]
    by_speaker = WER()
    by_speaker.add_batch(predictions=predictions, references=references, groups=["x", "x", "y", "y"])
    assert by_speaker.groups == {"x": (1, 6), "y": (2, 4)}
    assert by_speaker.scores() == {"wer": jackknife([1, 2], [6, 4], "speaker")}
    for groups in (None, [None] * 4):
        by_recording = WER()
        by_recording.add_batch(predictions=predictions, references=references, groups=groups)
        assert by_recording.scores() == {"wer": jackknife([1, 0, 2, 0], [4, 2, 3, 1], "recording")}
    mixed = WER()
    mixed.compute(predictions=predictions, references=references, groups=["x", "x", None, None])
    assert mixed.scores()["wer"].method == "jackknife by speaker or recording, 3 groups"


@pytest.mark.parametrize("cls", [WER, CER])
def test_the_interval_of_one_speaker_is_by_recording_and_says_so(cls):
    references, predictions = ["one two", "three", "four five six"], ["one too", "three", "for five six"]
    alone, unnamed = cls(), cls()
    for start in range(3):  # batch by batch, which knows no more than all at once
        part = slice(start, start + 1)
        alone.add_batch(predictions=predictions[part], references=references[part], groups=["x"])
    unnamed.add_batch(predictions=predictions, references=references)
    found, by_recording = alone.scores()[cls.label], unnamed.scores()[cls.label]
    assert found.low < found.value < found.high
    assert (found.value, found.low, found.high) == (by_recording.value, by_recording.low, by_recording.high)
    assert found.method == "jackknife by recording (one speaker, so it tells nothing of others), 3 groups"
    alone.add(prediction="seven", reference="seven", group="y")
    assert alone.scores()[cls.label].method == "jackknife by speaker, 2 groups"


def test_a_speaker_without_words_leaves_the_other_alone():
    metric = WER()
    metric.add_batch(predictions=["a", "b", ""], references=["a", "c", ""], groups=["x", "x", "y"])
    assert metric.scores()["wer"].method.startswith("jackknife by recording (one speaker")
    assert metric.scores()["wer"].low is not None


def test_one_recording_has_a_value_and_no_interval():
    metric = WER()
    metric.add(prediction="a b", reference="a c", group="x")
    score = metric.scores()["wer"]
    assert (score.value, score.low, score.high, score.n) == (0.5, None, None, 2)


def test_composed_and_decomposed_letters_are_the_same_and_case_is_not():
    assert WER().compute(predictions=["u\u0308ber"], references=["\u00fcber"]) == {"wer": 0.0}
    assert CER().compute(predictions=["\u00fcber"], references=["u\u0308ber"]) == {"cer": 0.0}
    assert WER().compute(predictions=["A"], references=["a"]) == {"wer": 1.0}


def test_spaces_are_characters_and_do_not_make_words():
    assert CER().compute(predictions=["ab c"], references=["a b c"]) == {"cer": 1 / 5}
    assert CER().compute(predictions=[" a b c "], references=["a b c"]) == {"cer": 0.0}
    assert WER().compute(predictions=["  a \t b"], references=["a b"]) == {"wer": 0.0}


def test_words_for_an_empty_reference_are_edits():
    metric = WER()
    metric.add_batch(predictions=["x y", "a b"], references=["", "a b"])
    assert metric.compute() == {"wer": 1.0} and metric.insertions == 2
    empty = WER()
    empty.add(prediction="x", reference="")
    assert empty.scores()["wer"].value is None
    with pytest.raises(MMTransferError, match="All references are empty"):
        empty.compute()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "Nothing was added"),
        ({"predictions": ["a"], "references": ["a", "b"]}, "1 predictions for 2 references"),
        ({"predictions": ["a"], "references": ["a"], "groups": ["x", "y"]}, "2 groups for 1 references"),
        ({"predictions": ["a", "b"], "references": ["a", None]}, "None is of type NoneType, not a text"),
    ],
)
def test_wrong_inputs_are_named_and_count_nothing(arguments, message):
    metric = CER()
    with pytest.raises(MMTransferError, match=message):
        metric.compute(**arguments)
    assert len(metric) == 0 and metric.groups == {}


def test_no_network(monkeypatch):
    def blocked(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", blocked)
    assert WER().compute(predictions=["a"], references=["b"]) == {"wer": 1.0}
    assert WER.higher_is_better is False and CER.higher_is_better is False
