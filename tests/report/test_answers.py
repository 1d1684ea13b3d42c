"""What is wrong, how wrong, and what is taken for what: by kind of answer, against counts made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import run_folders

from mmtransfer.config import TEXT
from mmtransfer.metrics import wilson
from mmtransfer.report.evidence import gather


def labelled(folder: Path) -> Path:
    """Five examples; the last two are wrong, the last one with more confidence."""
    logits = np.log(np.array([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]))
    true = [0, 1, 2, 1, 2]
    columns = {
        "id": list("abcde"),
        "target": ["ant", "bee", "fly", "bee", "fly"],
        "prediction": ["ant", "bee", "fly", "ant", "ant"],
        "logits": list(logits.astype(np.float32)),
        "loss": [-float(logits[row, number]) for row, number in enumerate(true)],
    }
    return run_folders.write(folder, TEXT, columns, {"accuracy": wilson(3, 5)}, ["ant", "bee", "fly"])


def test_labels(tmp_path):
    answers = gather(labelled(tmp_path / "run")).answers
    assert answers.right.tolist() == [True, True, True, False, False]
    assert answers.order.tolist() == [4, 3, 1, 2, 0]
    assert np.allclose(answers.confidence, [0.8, 0.6, 0.6, 0.5, 0.9], atol=1e-6)
    assert np.allclose(answers.badness[[3, 4]], [0.6, 0.95], atol=1e-6)
    assert answers.pairs() == [("bee", "ant", 1, 2), ("fly", "ant", 1, 2)]
    assert answers.counts() == [("ant", 1, 3, 1), ("bee", 2, 1, 1), ("fly", 2, 1, 1)]
    sure, right = answers.reliability()
    assert right.sum() == 3 and np.allclose(sure, answers.confidence)


def test_transcripts(tmp_path):
    answers = gather(run_folders.heard(tmp_path)).answers
    assert answers.aligned[0] == [("the", "the"), ("cat", "cat"), ("sat", None), ("down", "sad")]
    assert (answers.edits[:3].tolist(), answers.right[:3].tolist()) == ([2, 0, 2], [False, True, False])
    pairs = {pair[:2]: pair[2:] for pair in answers.pairs()}
    assert pairs == {("sat", ""): (8, 8), ("down", "sad"): (8, 8), ("two", "too"): (8, 8), ("", "six"): (8, 8)}


def test_words_that_were_heard_have_the_confidence_of_their_recording(tmp_path):
    answers = gather(run_folders.heard(tmp_path, 3)).answers
    sure, right = answers.reliability()
    assert np.allclose(sure, [0.5] * 3 + [0.51] * 2 + [0.52] * 6)
    wrong = [2, 6, 10]  # sad; too; six
    assert [place for place, one in enumerate(right) if not one] == wrong


def test_each_word_has_its_own_confidence(tmp_path):
    answers = gather(run_folders.tagged(tmp_path / "run", 6, 0.75)).answers
    sure, right = answers.reliability()
    assert sure.tolist() == [0.75] * 16 and right.sum() == 12
    assert gather(run_folders.tagged(tmp_path / "older", 6, 0)).answers.reliability() is None


def test_each_label_of_each_example_is_a_decision(tmp_path):
    answers = gather(run_folders.several(tmp_path / "run")).answers
    likely, there = answers.reliability()
    assert len(likely) == 3 * len(answers) and there.sum() == sum(map(len, answers.truths))


def test_tags(tmp_path):
    answers = gather(run_folders.tagged(tmp_path / "run")).answers
    assert answers.called == "type" and answers.badness[:3].tolist() == [1, 1, 0]
    assert [pair[:3] for pair in answers.pairs()] == [("B-name", "B-place", 20), ("I-place", "O", 20)]
    assert answers.counts() == [("name", 20, 0, 0), ("place", 20, 40, 0)]


def test_several_labels(tmp_path):
    answers = gather(run_folders.several(tmp_path / "run")).answers
    wrong = [len(set(a) ^ set(b)) for a, b in zip(answers.truths, answers.answers, strict=True)]
    assert np.floor(answers.badness).astype(int).tolist() == wrong
    for one in answers.counts():
        assert one.truths == sum(one.name in own for own in answers.truths)
        assert one.hits == sum(
            one.name in own and one.name in given for own, given in zip(answers.truths, answers.answers, strict=True)
        )
    assert sum(pair.times * (1 + bool(pair.truth and pair.answer)) for pair in answers.pairs()) == sum(wrong)


def test_numbers(tmp_path):
    answers = gather(run_folders.valued(tmp_path / "run")).answers
    first = answers.order[0]
    assert abs(answers.truths[first] - answers.answers[first]) == max(answers.badness)
    assert not answers.right.any() and answers.pairs() == [] == answers.counts()
