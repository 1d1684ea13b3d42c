"""How far speech stands above noise: by construction, in parts of files, and where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from mmtransfer.data.noise import signal_to_noise


def written(path, noise: float, speech: float):
    """Two seconds: noise all along, a tone of this amplitude in every other half second."""
    rng, times = np.random.default_rng(0), np.arange(32_000) / 16_000
    tone = speech * np.sqrt(2) * np.sin(2 * np.pi * 200 * times) * (times % 1 >= 0.5)
    soundfile.write(path, (noise * rng.normal(size=32_000) + tone).astype(np.float32), 16_000, subtype="FLOAT")
    return {"path": str(path), "bytes": None}


@pytest.mark.parametrize("ratio", [0, 10, 30])
def test_the_estimate_is_what_was_mixed(tmp_path, ratio):
    recording = written(tmp_path / "a.wav", 0.01, 0.01 * 10 ** (ratio / 20))
    assert signal_to_noise(recording) == pytest.approx(ratio, abs=1.5)


def test_a_segment_has_its_own(tmp_path):
    recording = written(tmp_path / "a.wav", 0.001, 0.1)
    assert signal_to_noise({**recording, "start": 0.0, "stop": 0.5}) < 5 < 30 < signal_to_noise(recording)


def test_silence_short_ones_and_no_recordings_have_none(tmp_path):
    assert signal_to_noise(written(tmp_path / "a.wav", 0.0, 0.0)) is None
    soundfile.write(tmp_path / "b.wav", np.ones(800, np.float32) * 0.1, 16_000)
    assert signal_to_noise({"path": str(tmp_path / "b.wav"), "bytes": None}) is None
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    assert signal_to_noise({"path": str(tmp_path / "c.wav"), "bytes": None}) is None


def test_where_there_is_no_noise_the_number_is_finite(tmp_path):
    assert 60 < signal_to_noise(written(tmp_path / "a.wav", 0.0, 0.1)) <= 100
