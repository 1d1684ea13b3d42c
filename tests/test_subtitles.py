"""Subtitles: cues, clocks, and what is refused."""

from __future__ import annotations

import json

import pytest

from mmtransfer.cli import outputs, subtitles
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Prediction, Word


def prediction(*words: Word) -> Prediction:
    return Prediction("a.wav", " ".join(word.text for word in words), 0.5, {}, words=words)


SAID = (Word("tea", 0.5, 0.9996, 0.9), Word("<now>", 1.0, 1.5, 0.8), Word("please", 3661.2, 3662, 0.7))


def test_srt(tmp_path):
    outputs.write([prediction(*SAID)], tmp_path / "a.srt")
    assert (tmp_path / "a.srt").read_text() == (
        "1\n00:00:00,500 --> 00:00:01,500\ntea <now>\n\n2\n01:01:01,200 --> 01:01:02,000\nplease\n\n"
    )


def test_vtt(tmp_path):
    outputs.write([prediction(*SAID)], tmp_path / "a.vtt")
    assert (
        (tmp_path / "a.vtt")
        .read_text()
        .startswith("WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.500\ntea &lt;now&gt;\n\n2\n01:01:01.200 -->")
    )


def test_nothing_said(tmp_path):
    outputs.write([prediction()], tmp_path / "a.srt")
    assert (tmp_path / "a.srt").read_text() == ""


def test_cues_are_short():
    words = [Word("w" * 20, second, second + 0.9, 1.0) for second in range(30)]
    cues = list(subtitles._cues(words))
    assert [word for cue in cues for word in cue] == words
    assert all(sum(len(word.text) + 1 for word in cue) - 1 <= subtitles.WIDEST for cue in cues)
    slow = [Word("w", 2.0 * number, 2.0 * number + 1.9, 1.0) for number in range(9)]
    assert all(cue[-1].end - cue[0].start <= subtitles.LONGEST for cue in subtitles._cues(slow))


def test_json_has_the_times_of_words(tmp_path):
    outputs.write([prediction(*SAID), Prediction("b", "x", 1.0, {})], tmp_path / "a.json")
    rows = json.loads((tmp_path / "a.json").read_text())
    assert rows[0]["words"][1] == {"word": "<now>", "start": 1.0, "end": 1.5, "score": 0.8}
    assert "words" not in rows[1]


def test_what_subtitles_are_not_made_of(tmp_path):
    with pytest.raises(MMTransferError, match="of one recording, not of 2"):
        outputs.write([prediction(), prediction()], tmp_path / "a.srt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(MMTransferError, match="made of transcripts"):
        outputs.check_times(tmp_path / "a.vtt", timed=False)
    outputs.check_times(tmp_path / "a.vtt", timed=True)
    outputs.check_times(tmp_path / "a.csv", timed=False)
