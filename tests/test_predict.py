"""A run on a subset with one speaker left out, and what it makes of a recording longer than it was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import tiny

import mmtransfer as mmt
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    tiny.speech(folder)
    return mmt.fit(
        task="speech-recognition",
        train=folder / "speech/train",
        test_group="s1",
        group_column="speaker",
        shots=12,
        max_seconds=0.4,
        backbone=str(folder / "wav2vec2"),
        weights="none",
        epochs=1,
        threads=1,
        out=str(folder / "run"),
    )


def test_the_run_records_what_it_was_trained_on(run):
    data = run.result["data"]
    assert {split: entry["n"] for split, entry in data.items()} == {"train": 12, "validation": 12, "test": 16}
    assert json.loads(run.folder.config.read_text())["shots"] == 12


def test_a_long_recording_gives_one_prediction(run, tmp_path):
    samples = np.random.default_rng(0).normal(size=16_000).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", samples[:4000], 16_000, subtype="FLOAT")
    long, short = run.predict(tmp_path)
    assert (long.id, short.id) == ("long.wav", "short.wav") and 0 < long.score < 1
    (alone,) = run.predict([tmp_path / "short.wav"])
    assert (alone.id, alone.label) == ("0", short.label) and alone.score == pytest.approx(short.score, abs=1e-5)
    rows = [{"audio": tmp_path / "long.wav", "text": "a"}]
    with pytest.raises(MMTransferError, match="1.0 s are more than max_seconds=0.4"):
        run.evaluate(rows)
