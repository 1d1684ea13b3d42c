"""Segments: by the times of a table, or at the quietest places."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data import audio, segments
from mmtransfer.data.sources import load
from mmtransfer.errors import MMTransferError

RATE = 8000


@pytest.fixture
def long(tmp_path):
    """10 s of noise, silent from 3.9 to 4.1 s and from 7.0 to 7.2 s."""
    samples = np.random.default_rng(0).normal(size=10 * RATE).astype(np.float32) * 0.1
    for start, stop in ((3.9, 4.1), (7.0, 7.2)):
        samples[int(start * RATE) : int(stop * RATE)] = 0
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    return samples


def table(tmp_path, rows: str, **options):
    (tmp_path / "a.csv").write_text(f"file_name,start,end,text\n{rows}")
    return load(tmp_path / "a.csv", "audio", **options)


def test_rows_are_segments_of_a_file(tmp_path, long, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    made = table(tmp_path, "long.wav,0.5,1.25,one\nlong.wav,1.25,10.01,two\nlong.wav,,,all\n")
    assert made.ids == ["long.wav#0.50-1.25", "long.wav#1.25-10.01", "long.wav"]
    assert "seconds from column 'start' to column 'end'" in caplog.text
    found = [audio.read_samples(value, RATE) for value in made.column("audio")]
    assert torch.equal(torch.cat(found[:2]), torch.from_numpy(long[RATE // 2 :]))
    assert len(found[2]) == len(long)
    assert [audio.samples(value, 16_000) for value in made.column("audio")] == [12_000, 140_000, 160_000]
    assert audio.seconds(made.column("audio")[0]) == 0.75


def test_times_and_contents_are_part_of_the_fingerprint(tmp_path, long):
    first = table(tmp_path, "long.wav,0.5,1,one\n").fingerprint
    assert table(tmp_path, "long.wav,0.50,1.0,one\n").fingerprint == first
    # the same id, because that rounds
    assert table(tmp_path, "long.wav,0.5,1.001,one\n").fingerprint != first
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "long.wav", tmp_path / "other")  # written anew it would hold another time of writing
    assert table(tmp_path / "other", "long.wav,0.5,1,one\n").fingerprint == first
    soundfile.write(tmp_path / "long.wav", long * 0.5, RATE, subtype="FLOAT")
    assert table(tmp_path, "long.wav,0.5,1,one\n").fingerprint != first


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("2,1", "a segment cannot go from 2 to 1 s"),
        ("-1,1", "a segment cannot go from -1 to 1 s"),
        ("9,10.5", "the segment ends at 10.5 s, the recording at 10.00 s"),
        ("1,", "segment times must be two numbers of seconds, not '1' and ''"),
        ("a,2", "segment times must be two numbers of seconds, not 'a' and '2'"),
        ("1,1.00001", "the segment has zero length"),
        ("nan,3", "segment times must be two numbers of seconds, not 'nan' and '3'"),
    ],
)
def test_times_that_cannot_be(tmp_path, long, times, reason):
    with pytest.raises(MMTransferError) as error:
        table(tmp_path, f"long.wav,{times},one\nlong.wav,0,1,two\n")
    assert error.value.what.startswith("1 of 2 examples cannot be used: long.wav, row 0 (line 2): " + reason)


def test_the_same_segment_twice_is_told(tmp_path, long):
    with pytest.raises(MMTransferError, match="the file is listed before, as long.wav, row 0"):
        table(tmp_path, "long.wav,0,1,one\nlong.wav,0,1,two\n")


def test_recordings_over_the_limit_are_refused_by_name_or_left_out(tmp_path, long):
    rows = "long.wav,,,all\nlong.wav,0,4,four\n"
    with pytest.raises(MMTransferError) as error:
        table(tmp_path, rows, max_seconds=4.0)
    assert error.value.what == (
        "1 of 2 examples cannot be used: long.wav, row 0 (line 2): 10.0 s are more than --max-seconds 4: raise it if "
        "memory allows, or give times of shorter segments in columns start and end"
    )
    assert "--skip-bad" in error.value.do
    assert len(table(tmp_path, rows, max_seconds=4.0, skip_bad=True)) == 1
    assert len(table(tmp_path, rows, max_seconds=10.0)) == 2
    assert len(table(tmp_path, rows, max_seconds=1.0, labelled=False)) == 2


def test_a_long_recording_is_cut_where_it_is_silent(tmp_path, long, caplog):
    caplog.set_level(logging.INFO, "mmtransfer")
    soundfile.write(tmp_path / "short.wav", long[:RATE], RATE)
    made = load([tmp_path / "long.wav", tmp_path / "short.wav"], "audio", labelled=False)
    pieces, owners = segments.cut(made, 5.0)
    assert owners == [0, 0, 0, 1] and pieces.ids[3] == "1"
    edges = [(value["start"], value["stop"]) for value in pieces.column("audio")[:3]]
    assert 3.9 < edges[0][1] < 4.1 and 7.0 < edges[1][1] < 7.2
    joined = torch.cat([audio.read_samples(value, RATE) for value in pieces.column("audio")[:3]])
    assert torch.equal(joined, torch.from_numpy(long))
    assert "cut at 2 quiet places" in caplog.text
    assert segments.cut(made, 10.0) == (made, [0, 1])


def test_pieces_overlap_by_a_share_of_the_longest(tmp_path, long):
    made = load([tmp_path / "long.wav"], "audio", labelled=False)
    pieces, owners = segments.cut(made, 5.0, overlap=0.2)
    edges = [(value["start"], value["stop"]) for value in pieces.column("audio")]
    assert owners == [0] * len(edges) and edges[0][0] == 0 and edges[-1][1] == 10
    assert all(stop - start <= 5.0 + 1e-9 for start, stop in edges)
    assert [a[1] - b[0] for a, b in zip(edges, edges[1:], strict=False)] == pytest.approx([1.0] * (len(edges) - 1))
    assert segments.cut(made, 10.0, overlap=0.2) == (made, [0])


def test_a_long_segment_is_cut_within_itself(tmp_path, long):
    made = table(tmp_path, "long.wav,2,9,x\n", labelled=False)
    pieces, _ = segments.cut(made, 4.0)
    values = pieces.column("audio")
    assert values[0]["start"] == 2 and 3.9 < values[0]["stop"] < 4.1 and values[-1]["stop"] == 9
    assert torch.equal(
        torch.cat([audio.read_samples(v, RATE) for v in values]), torch.from_numpy(long[2 * RATE : 9 * RATE])
    )


@given(st.integers(4, 3000), st.integers(4, 400), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_pieces_are_neither_too_long_nor_too_short(hops, longest, seed):
    cuts = segments.quiet(np.random.default_rng(seed).random(hops), longest)
    sizes = np.diff([0, *cuts, hops])
    assert sizes.max() <= longest and (not cuts or sizes.min() >= longest // 4)
    assert not cuts or hops > longest


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_segments_of_every_format(tmp_path, kind, rate):
    samples = np.random.default_rng(0).normal(size=(2 * rate, 2)).astype(np.float32) * 0.1
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, samples, rate, format=kind)
    whole = audio.read_samples({"path": str(path), "bytes": None}, rate)
    file = {"path": str(path), "bytes": None, "start": 0.5, "stop": 1.2}
    assert torch.equal(audio.read_samples(file, rate), whole[round(0.5 * rate) : round(1.2 * rate)])
    held = {**file, "path": None, "bytes": path.read_bytes()}
    assert torch.equal(audio.read_samples(held, rate), audio.read_samples(file, rate))
    loudness, hop = audio.loudness(file)
    assert hop == round(rate / 100) / rate and len(loudness) == 70
    assert loudness.mean() == pytest.approx(float(audio.read_samples(file, rate).square().mean()), rel=1e-4)
