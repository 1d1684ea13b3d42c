"""Recordings with their transcripts beside them; class folders are tested with the sources."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from mmtransfer.data.sources import load
from mmtransfer.errors import MMTransferError


def clip(path, text: bytes | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(100, 0.25, np.float32), 8000)
    if text is not None:
        path.with_suffix(".txt").write_bytes(text)


def test_transcripts_beside_recordings(tmp_path, caplog):
    clip(tmp_path / "ann/a.wav", b"\xef\xbb\xbfone\n two \n")
    clip(tmp_path / "b.FLAC", b"caf\xe9")
    (tmp_path / "notes.txt").write_text("not of a recording")
    table = load(tmp_path, "audio")
    assert table.ids == ["ann/a.wav", "b.FLAC"] and table.column("transcript") == ["one two", "café"]
    assert "speaker" not in table.rows.column_names
    assert "transcripts that are not UTF-8 were read 1 as cp1252" in caplog.text
    assert load(tmp_path, "audio", labelled=False).ids == table.ids


def test_a_recording_without_its_transcript_is_told_or_left_out(tmp_path):
    clip(tmp_path / "a.wav", b"one")
    clip(tmp_path / "b.wav", None)
    clip(tmp_path / "c.wav", b"")
    clip(tmp_path / "d.wav", b"\0\0")
    with pytest.raises(MMTransferError) as error:
        load(tmp_path, "audio")
    assert error.value.what == (
        "3 of 4 examples cannot be used: b.wav: there is no b.txt beside it; c.wav: the transcript is empty; "
        "d.wav: d.txt holds no text (byte 0 is zero)"
    )
    assert load(tmp_path, "audio", skip_bad=True).ids == ["a.wav"]


def test_a_folder_without_any_transcript_says_both_ways(tmp_path):
    clip(tmp_path / "a.wav", None)
    with pytest.raises(MMTransferError, match="no metadata.csv") as error:
        load(tmp_path, "audio")
    assert "file_name,text" in error.value.do and "clip.txt" in error.value.do
