"""Recordings: every format, rate and channel count; the header's length is the length that comes out."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data import audio
from mmtransfer.errors import MMTransferError

FORMATS = [("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


def recording(samples: np.ndarray, rate: int, kind: str = "WAV", subtype: str = "FLOAT") -> dict:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return {"path": None, "bytes": buffer.getvalue()}


def tone(rate: int, seconds: float = 0.5, pitch: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def noise(rate: int) -> np.ndarray:
    """3 s, ten times a second louder or softer."""
    random = np.random.default_rng(0)
    return (0.1 * random.normal(size=3 * rate) * np.repeat(random.random(30), rate // 10)).astype(np.float32)


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_sounds_the_same_at_16_khz(kind, subtype, rate, channels):
    file = recording(np.stack([tone(rate)] * channels, 1), rate, kind, subtype)
    waveform = audio.read_samples(file, 16_000)
    assert waveform.dtype == torch.float32 and waveform.shape == (audio.samples(file, 16_000),)
    assert len(waveform) == 8000
    spectrum = torch.fft.rfft(waveform * torch.hann_window(8000)).abs()
    assert int(spectrum.argmax()) == 220  # 440 Hz in bins of 2 Hz
    assert 0.3 < float(waveform[2000:6000].std()) < 0.4  # 0.5 / sqrt(2)


@given(st.integers(1, 5000), st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]), st.sampled_from([8000, 16000]))
@settings(max_examples=60, deadline=None)
def test_the_header_tells_the_length(frames, own, rate):
    file = recording(np.zeros(frames, np.float32), own)
    assert audio.samples(file, rate) == len(audio.read_samples(file, rate)) == math.ceil(frames * rate / own)


def test_long_lengths_are_exact():
    # 16,777,221 has no float32
    file = recording(np.zeros(5_592_407, np.int16), 8000, subtype="PCM_16")
    assert audio.samples(file, 24_000) == len(audio.read_samples(file, 24_000)) == 16_777_221


def test_channels_are_averaged():
    file = recording(np.array([[0.5, -0.25], [1.0, 0.0]], np.float32), 16_000)
    assert audio.read_samples(file, 16_000).tolist() == [0.125, 0.5]


def test_paths_and_bytes_read_alike(tmp_path):
    file = recording(tone(8000), 8000, "FLAC", "PCM_16")
    (tmp_path / "a.flac").write_bytes(file["bytes"])
    path = {"path": str(tmp_path / "a.flac"), "bytes": None}
    assert torch.equal(audio.read_samples(path, 16_000), audio.read_samples(file, 16_000))
    assert audio.samples(path, 16_000) == audio.samples(file, 16_000)


def test_normalise_as_wav2vec2_does():
    values = torch.tensor([1.0, 2.0, 6.0])
    expected = (values.numpy() - 3.0) / np.sqrt(values.numpy().var() + 1e-7)
    assert np.allclose(audio.normalise(values).numpy(), expected, atol=1e-6)
    assert torch.equal(audio.normalise(torch.ones(5)), torch.zeros(5))


def test_zero_length_and_unreadable_recordings_have_a_fault(tmp_path):
    assert audio.fault(recording(np.zeros(0, np.float32), 8000)) == "the recording has zero length"
    (tmp_path / "a.wav").write_bytes(b"this is no sound")
    noise = {"path": str(tmp_path / "a.wav"), "bytes": None}
    assert str(audio.fault(noise)).startswith("not a readable recording (")
    assert audio.fault(recording(tone(8000), 8000)) is None
    with pytest.raises(MMTransferError, match="not a readable recording") as error:
        audio.read_samples(noise, 16_000)
    assert error.value.where == noise["path"]


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_a_recording_cut_short_is_not_read_as_a_shorter_one(kind, subtype):
    whole = recording(noise(16_000), 16_000, kind, subtype)
    cut = {"path": None, "bytes": whole["bytes"][: len(whole["bytes"]) // 2]}
    with pytest.raises(MMTransferError, match="not a readable recording .*cut short"):
        audio.read_samples(cut, 16_000)


def untagged_mp3(mode: str, rate: int) -> dict:
    """An MP3 without the frame that tells its length, as older encoders and stream recorders write them."""
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(rate), rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    data = buffer.getvalue()
    second = data.index(data[:2], 100)  # every frame begins with the same 12 bits of sync and version
    assert b"Xing" in data[:second] or b"Info" in data[:second]
    return {"path": None, "bytes": data[second:]}


def test_an_mp3_whose_length_is_guessed_a_little_long_ends_in_silence():
    file = untagged_mp3("CONSTANT", 44_100)
    waveform = audio.read_samples(file, 44_100)
    assert audio.fault(file) is None
    assert len(waveform) == audio.samples(file, 44_100) > 3 * 44_100
    assert float(waveform[-50:].abs().max()) == 0 and float(waveform[:-2000].std()) > 0.01


def test_an_mp3_that_would_be_read_in_part_is_refused(tmp_path):
    file = untagged_mp3("VARIABLE", 16_000)
    (tmp_path / "a.mp3").write_bytes(file["bytes"])
    for each in (file, {"path": str(tmp_path / "a.mp3"), "bytes": None}):
        assert str(audio.fault(each)).startswith("not a readable recording (its bit rate varies")
        with pytest.raises(MMTransferError, match="convert it"):
            audio.read_samples(each, 16_000)


def test_arrays_survive_unchanged():
    samples = np.array([0.1, -2.5, 3e-8], np.float32)
    assert np.array_equal(audio.read_samples(audio.from_array(samples, 16_000), 16_000).numpy(), samples)


@pytest.mark.parametrize("samples", [np.zeros((2, 5), np.float32), np.zeros(5, np.int16), np.array([0.0, np.nan])])
def test_other_arrays_are_refused(samples):
    with pytest.raises(ValueError, match="must be float|not finite"):
        audio.from_array(samples, 16_000)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_samples_of_16_bits_take_two_bytes(tmp_path, subtype):
    values = np.linspace(-1, 1, 99).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", values, 16000, subtype=subtype)
    samples = audio.read_samples({"path": str(tmp_path / "a.wav"), "bytes": None}, 16000)
    narrow = audio.narrowed(samples)
    assert narrow.dtype == (torch.int16 if subtype == "PCM_16" else torch.float32)
    assert torch.equal(audio.widened(narrow), samples)
