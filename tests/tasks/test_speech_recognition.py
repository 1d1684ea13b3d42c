"""CTC: vocabulary, targets, decoding, refusals, the alarm."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from mmtransfer.backbones import pretrained
from mmtransfer.config import SPEECH
from mmtransfer.data import sources
from mmtransfer.errors import MMTransferError
from mmtransfer.language.alignment import Spoken
from mmtransfer.resolution import complete
from mmtransfer.tasks import TASKS
from mmtransfer.tasks.base import Word

TWO_CONVOLUTIONS = {"conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2)}
SHAPE = {"model_type": "wav2vec2", **tiny.WAV2VEC2, **TWO_CONVOLUTIONS}


def task_on(rows, **settings):
    table = sources.load(rows, "audio")
    task = TASKS[SPEECH].make(complete({"task": SPEECH, "train": "-", **settings}), pretrained.build(SHAPE))
    task.prepare(table)
    return task, table


def sound(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(size=samples).astype(np.float32)


def test_the_vocabulary_is_folded_and_starts_with_blank_and_delimiter():
    task, _ = task_on([(sound(900), "No  Ünit"), (sound(900), "ON")])
    assert task.target.symbols == ["<blank>", "|", "i", "n", "o", "t", "ü"]
    assert task.target.answer("  NO \n u\u0308NIT") == "no ünit"


def test_decoding_merges_repeats_drops_blanks_and_stops_at_the_length():
    task, _ = task_on([(sound(900), "ab"), (sound(900), "b a")])
    a, b = task.target.numbers["a"], task.target.numbers["b"]
    frames = torch.tensor([[a, a, 0, a, 1, b, b, a]])
    log_probs = torch.nn.functional.one_hot(frames, len(task.target.symbols)).float().log()
    assert task.target.predict({"log_probs": log_probs, "lengths": torch.tensor([7])}).answers == ["aa b"]


def test_more_labels_than_frames_are_refused_by_name_and_can_be_skipped():
    rows = [(sound(900), "ab"), (sound(60), "aabbaabb")]
    task, table = task_on(rows)
    with pytest.raises(MMTransferError, match="1: 8 labels need 12 frames, the recording has 5"):
        task.check(table, "train")
    task, table = task_on(rows, skip_bad=True)
    left = task.check(table, "train")
    assert len(left) == 1 and left.skipped[0]["id"] == "1"


def test_loss_is_torchs_own_over_the_number_of_labels():
    task, table = task_on([(sound(900), "ab"), (sound(900), "b")])
    log_probs = torch.randn(2, 9, len(task.target.symbols)).log_softmax(-1)
    targets = torch.tensor([[2, 3], [3, -100]])
    found = task.target.loss({"log_probs": log_probs, "lengths": torch.tensor([9, 7])}, targets)
    one = torch.nn.functional.ctc_loss(log_probs[1, :7, None], torch.tensor([[3]]), (7,), (1,), reduction="sum")
    both = torch.nn.functional.ctc_loss(log_probs[0, :, None], torch.tensor([[2, 3]]), (9,), (2,), reduction="sum")
    assert torch.allclose(found, torch.stack([both / 2, one]), atol=1e-5)


def test_a_transcript_without_a_known_character_has_a_loss():
    task, table = task_on([(sound(900), "ab"), (sound(900), "b")])
    target = task.target_of({"transcript": "7"})
    assert target is not None and target.dtype == torch.int64
    log_probs = torch.randn(1, 9, len(task.target.symbols)).log_softmax(-1)
    targets = torch.nn.utils.rnn.pad_sequence([target], batch_first=True, padding_value=-100)
    assert torch.isfinite(task.target.loss({"log_probs": log_probs, "lengths": torch.tensor([9])}, targets)).all()


def test_the_alarm_needs_more_than_99_percent_blanks():
    task, _ = task_on([(sound(900), "ab"), (sound(900), "b")])
    assert task.target.alarm({"blanks": [99, 100], "frames": [100, 100]}) is not None
    assert task.target.alarm({"blanks": [99, 99], "frames": [100, 100]}) is None


def test_stored_edits_are_by_kind():
    task, _ = task_on([(sound(900), "ab"), (sound(900), "b")])
    found = task.target.annotate({"target": ["a b c", "a"], "prediction": ["a x", "a b"]})
    assert (found["substitutions"], found["deletions"], found["insertions"]) == ([1, 0], [1, 0], [0, 1])
    assert found["words"] == [3, 1]


def test_pieces_of_a_long_recording_are_joined():
    task, _ = task_on([(sound(900), "ab")], max_seconds=0.5)
    table = sources.load([sound(12_000), sound(900)], "audio", labelled=False)
    pieces, owners = task.input.pieces(table)
    assert owners == [0, 0, 1] and len(pieces) == 3
    records = [
        {"prediction": "one", "confidence": 0.5, "frames": 1, "begin": 0.0, "seconds": 0.5},
        {"prediction": "", "confidence": 0.5, "frames": 1, "begin": 0.5, "seconds": 0.5},
        {"prediction": "two", "confidence": 0.125, "frames": 2, "begin": 1.0, "seconds": 1.0},
    ]
    heard = [[Spoken(0, 1, 0.5)], [], [Spoken(1, 2, 0.7)]]
    joined = task.target.join([{**one, "words": words} for one, words in zip(records, heard, strict=True)])
    assert joined["prediction"] == "one two" and joined["confidence"] == pytest.approx(0.25)
    assert joined["words"] == [Word("one", 0.0, 0.5, 0.5), Word("two", 1.5, 2.0, 0.7)]
    assert task.target.join([])["prediction"] == ""


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_augmented_recordings_keep_enough_frames_for_their_labels(augment):
    rows = [(sound(400), "abcabcaabcabcabcabccabcabcabcabcabcab"), (sound(4000), "ab")]
    task, table = task_on(rows, augment=augment)
    tight, loose = (dict(row) for row in task.input.rows(task.check(table, "train"))[0])
    needed = len(task.target._labels(tight["transcript"])) + 2
    plain = task.encode(loose, None)
    lengths = set()
    for seed in range(40):
        encoded = task.encode(tight, seed)
        assert int(task.input.frames(torch.tensor([encoded.length]))[0]) >= needed
        assert torch.equal(encoded.x, task.encode(tight, seed).x)
        lengths.add(task.encode(loose, seed).length)
    assert len(lengths) > 10 and torch.equal(plain.x, task.encode(loose, None).x) and plain.length == 4000


def test_without_augmentation_the_seed_changes_no_sample():
    task, table = task_on([(sound(900), "ab"), (sound(900), "b")], augment="none")
    row = dict(task.input.rows(table)[0][0])
    assert torch.equal(task.encode(row, 3).x, task.encode(row, None).x)
