"""Recordings that are damaged, too short, or arrays: from `fit` and `predict`, as a user meets them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import SPEECH
from mmtransfer.data import audio, sources
from mmtransfer.errors import MMTransferError

RATE = 16_000


def sound(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def broken(path: Path, value: float) -> Path:
    samples = sound(2000)
    samples[160] = value
    return wav(path, samples)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> mmt.Run:
    folder = tmp_path_factory.mktemp("speech")
    given = parse(SPEECH, [*tiny.speech(folder), "--weights", "none", "--epochs", "1"], {}, "a test")
    return mmt.fit(**given, threads=1, out=folder / "run")


@pytest.fixture
def words(tmp_path) -> list[object]:
    data = ["--test", tmp_path / "speech" / "test", "--out", tmp_path / "run", "--weights", "none", "--epochs", "1"]
    made = [SPEECH, *tiny.speech(tmp_path), *data, "--threads", "1"]
    place = tmp_path / "speech" / "test"
    place.mkdir()
    lines = [f"{wav(place / f'{number}.wav', sound(2000, number)).name},ab,t" for number in range(4)]
    (place / "metadata.csv").write_text("\n".join(["file_name,text,speaker", *lines]) + "\n")
    return made


def spoil(place: Path) -> None:
    """A sample that is no number, and compressed recordings cut short, in a folder with metadata.csv."""
    broken(place / "1.wav", np.nan)
    with (place / "metadata.csv").open("a") as lines:
        for kind in ("flac", "mp3"):
            soundfile.write(place / f"x.{kind}", sound(6000), RATE)
            data = (place / f"x.{kind}").read_bytes()
            (place / f"x.{kind}").write_bytes(data[: int(len(data) * 0.6)])
            lines.write(f"x.{kind},ab,s\n")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_damaged_recordings_are_told_by_name_before_the_first_step(command, words, tmp_path, split):
    spoil(tmp_path / "speech" / split)
    status, _, said = command("fit", *words)
    assert status == 2 and "3 of" in said and "1.wav, row 1 (line 3): the sample at 0.010 s is nan" in said, said
    assert "x.flac, row" in said and "x.mp3, row" in said and said.count("not a readable recording") == 2
    assert f"--{split}" in said and "--skip-bad" in said and not (tmp_path / "run").exists()


def test_damaged_recordings_are_left_out_where_that_is_asked_for(command, words, tmp_path):
    for split in ("train", "validation", "test"):
        spoil(tmp_path / "speech" / split)
    status, _, said = command("fit", *words, "--skip-bad")
    assert status == 0, said
    for about in json.loads((tmp_path / "run" / "result.json").read_text())["data"].values():
        assert [one["id"] for one in about["skipped"]] == ["1.wav", "x.flac", "x.mp3"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_predict_and_evaluate_tell_samples_that_are_no_numbers(run, tmp_path, value):
    path = broken(tmp_path / "strange.wav", value)
    with pytest.raises(MMTransferError, match="strange.wav: the sample at 0.010 s is"):
        run.predict(tmp_path)
    (tmp_path / "strange.txt").write_text("ab")
    with pytest.raises(MMTransferError, match="strange.wav: the sample at 0.010 s is"):
        run.evaluate(tmp_path)
    assert str(audio.fault({"path": str(path), "bytes": None})).endswith("full scale is 1")


def test_loud_samples_are_samples(run, tmp_path):
    assert run.predict([(sound(2000) * 1000, RATE)])[0].score > 0


@pytest.mark.parametrize("kind", ["flac", "mp3", "wav"])
def test_the_check_of_a_long_recording_holds_no_more_than_a_block(tmp_path, kind):
    path = tmp_path / f"long.{kind}"
    subtype = {"wav": "FLOAT", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}[kind]
    soundfile.write(path, np.zeros(100 * RATE, np.float32), RATE, subtype=subtype)  # 6.4 MB of float32
    tracemalloc.start()
    assert len(sources.load([path], "audio", labelled=False)) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def test_segments_of_a_damaged_recording_are_judged_each_alone(tmp_path):
    soundfile.write(tmp_path / "long.flac", sound(4 * RATE), RATE)
    data = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "long.flac").write_bytes(data[: len(data) // 2])
    (tmp_path / "a.csv").write_text("file_name,start,end,text\nlong.flac,0,1,one\nlong.flac,3,4,two\n")
    table = sources.load(tmp_path / "a.csv", "audio", skip_bad=True)
    assert table.ids == ["long.flac#0.00-1.00"] and [one["id"] for one in table.skipped] == ["long.flac#3.00-4.00"]


def test_a_recording_shorter_than_a_frame_is_empty_aloud_and_the_others_are_predicted(run, command, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "mmtransfer")
    first, short, last = ((sound(count, count), RATE) for count in (3000, 9, 2500))
    found = run.predict([first, short, last])
    assert "1 recording(s) are shorter than one frame of the model" in caplog.text and "heard in them: 1" in caplog.text
    assert (found[1].id, found[1].label, found[1].score) == ("1", "", 0.0)
    alone = run.predict([first, last])
    assert [one.label for one in (found[0], found[2])] == [one.label for one in alone]
    assert [one.score for one in (found[0], found[2])] == pytest.approx([one.score for one in alone])
    assert [one.label for one in run.predict([short, short])] == ["", ""]
    wav(tmp_path / "a.wav", sound(9))
    wav(tmp_path / "b.wav", sound(2000))
    status, printed, said = command("predict", run.folder.path, tmp_path)
    assert status == 0 and "heard in them: a.wav" in said and printed.splitlines()[0] == "a.wav\t\t0.0000", said


def test_features_of_a_recording_shorter_than_a_frame_are_zeros(run):
    first, short = ((sound(count), RATE) for count in (3000, 9))
    assert np.array_equal(run.embed([short]).values, np.zeros((1, 16), np.float32))
    both = run.embed([short, first]).values
    assert not both[0].any() and np.allclose(both[1], run.embed([first]).values[0], atol=1e-6) and both[1].any()


def test_features_stay_with_their_recording_where_one_is_too_short_and_one_is_cut(run, tmp_path):
    long = sound(45 * RATE)
    both = run.embed([(sound(8), RATE), (long, RATE)]).values
    alone = run.embed([(long, RATE)]).values
    assert not both[0].any() and both[1] == pytest.approx(alone[0], abs=1e-5)


@pytest.mark.parametrize(
    "cell",
    [
        {"path": 5},
        {"bytes": "x"},
        {"array": [10**400], "sampling_rate": RATE},
        {"array": [0.1], "sampling_rate": 10**400},
    ],
)
def test_cells_that_hold_something_else_are_told_by_their_row(cell):
    with pytest.raises(MMTransferError, match="row 0"):
        sources.load([{"audio": cell, "text": "a"}], "audio")


def test_a_rate_that_no_recorder_has_is_told(tmp_path):
    file = wav(tmp_path / "fast.wav", sound(100), 3_000_000)
    with pytest.raises(MMTransferError, match="3,000,000 samples a second are more than"):
        sources.load([(str(file), "a")], "audio")


def test_arrays_with_a_rate_are_heard_as_their_file_is(run, tmp_path):
    samples = sound(2000)
    path = wav(tmp_path / "a.wav", samples, 8000)
    rated = {"array": samples, "sampling_rate": 8000}
    inputs = [
        path,
        (samples, 8000),
        rated,
        {**rated, "path": None},
        (samples.tolist(), 8000.0),
        (samples, np.int64(8000)),
    ]
    found = [run.predict([one])[0] for one in inputs] + run.predict([rated, rated]) + run.predict([rated, path])
    assert len({one.label for one in found}) == 1
    assert [one.score for one in found] == pytest.approx([found[0].score] * len(found), rel=1e-5)
    assert found[0].score != run.predict([(samples, RATE)])[0].score


def test_arrays_with_a_rate_are_trained_on(run, tmp_path):
    rows = [(sound(1500 + 40 * number, number), "ab"[number % 2]) for number in range(12)]
    pairs = [((samples, 8000), text) for samples, text in rows]
    given = {"backbone": run.config.backbone, "weights": "none", "epochs": 1, "threads": 1, "batch_size": 6}
    other = mmt.fit(task=SPEECH, train=pairs, validation=pairs[:4], out=tmp_path / "run", **given)
    assert other.result["data"]["train"]["n"] == 12
    forms = [
        pairs,
        [({"array": samples, "sampling_rate": 8000}, text) for samples, text in rows],
        [{"audio": {"array": samples, "sampling_rate": 8000}, "text": text} for samples, text in rows],
        [{"array": samples, "sampling_rate": 8000, "path": None, "text": text} for samples, text in rows],
        [{"audio": (samples, 8000), "text": text} for samples, text in rows],
    ]
    found = {sources.load(form, "audio").fingerprint for form in forms}
    assert found == {other.result["data"]["train"]["fingerprint"]}


def test_an_array_alone_is_taken_at_the_rate_of_the_model_aloud(run, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "mmtransfer")
    samples = sound(3000)
    bare, rated = run.predict([samples]), run.predict([(samples, RATE)])
    assert bare == rated
    assert caplog.text.count("1 recording(s) are arrays without a rate, taken at 16000 samples a second") == 1
    backbone = tmp_path / "eight"
    backbone.mkdir()
    (backbone / "config.json").write_text((Path(run.config.backbone) / "config.json").read_text())
    (backbone / "preprocessor_config.json").write_text('{"sampling_rate": 8000, "do_normalize": true}')
    bare, rated, other = (
        mmt.embed(str(backbone), [one], weights="none").values for one in (samples, (samples, 8000), (samples, RATE))
    )
    assert "taken at 8000 samples a second" in caplog.text
    assert np.array_equal(bare, rated) and not np.allclose(bare, other)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(sound(900), RATE)], "there is no transcript: give ((samples, rate), transcript)"),
        ([((sound(900), "fast"), "ab")], "the rate of a recording must be a whole number"),
        ([((sound(900), 0), "ab")], "the rate of a recording must be a whole number"),
        ([((sound(900), float("nan")), "ab")], "the rate of a recording must be a whole number"),
        (
            [({"array": sound(900)}, "ab")],
            "the rate of a recording must be a whole number of samples a second, at most 2,000,000, not None",
        ),
        ([({"array": ["a", 0.1], "sampling_rate": RATE}, "ab")], "the samples of a recording must be numbers"),
        ([(("a.wav", RATE), "ab")], "the samples of a recording must be an array, not a str"),
        ([((np.zeros((2, 9), np.float32), RATE), "ab")], "an array must be float (samples,), not float32 (2, 9)"),
        ([((np.array([0.1, np.nan]), RATE), "ab")], "the array holds values that are not finite"),
    ],
)
def test_what_is_no_recording_is_told(rows, reason):
    with pytest.raises(MMTransferError) as error:
        sources.load(rows, "audio")
    assert error.value.what.startswith(f"1 of 1 examples cannot be used: row 0: {reason}")


@pytest.mark.parametrize("rate", [8000, 16_001, 22_050, 44_100, 192_000])
def test_a_tone_is_the_same_tone_from_every_rate(tmp_path, rate):
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)

    file = {"path": str(wav(tmp_path / "a.wav", tone(rate), rate)), "bytes": None}
    found = audio.read_samples(file, RATE).numpy()
    assert len(found) == audio.samples(file, RATE)
    assert np.abs(found[800:-800] - tone(RATE)[800 : len(found) - 800]).max() < 2e-5


WITHOUT = """
import sys
sys.modules["torchaudio"] = None
from pathlib import Path
import numpy as np, soundfile, tiny
from mmtransfer import cli
folder = Path(sys.argv[1])
def run(*words):
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code
    return 0
few = ["--weights", "none", "--epochs", "1", "--threads", "1"]
speech = tiny.speech(folder)
for number, rate in ((0, 8000), (1, 16001)):
    samples = 0.1 * np.random.default_rng(number).standard_normal(rate // 4)
    soundfile.write(folder / "speech" / "train" / f"{number}.wav", samples, rate)
few += ["--shots", "6"]
assert run("fit", "speech-recognition", *speech, *few, "--augment", "light", "--out", folder / "run") == 0
assert run("predict", folder / "run", folder / "speech" / "train" / "1.wav") == 0
text, images = tiny.text(folder), tiny.images(folder)
short = ["--weights", "none", "--max-length", "32"]
assert run("embed", folder / "bert", folder / "train.csv", *short, "--out", folder / "x.npy") == 0
pictures = folder / "images" / "validation"
assert run("embed", "resnet18", pictures, "--weights", "none", "--image-size", "32", "--out", folder / "x.npy") == 0
place = speech.index("--backbone")
speech[place + 1] = "deepspeech"
assert run("fit", "speech-recognition", *speech, *few, "--out", folder / "d") == 2
print("all ran")
"""


def test_all_but_deep_speech_runs_where_torchaudio_cannot_be_imported(tmp_path):
    paths = os.pathsep.join([str(Path(mmt.__file__).parents[1]), str(Path(tiny.__file__).parent)])
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0 and "all ran" in found.stdout, found.stderr[-3000:]
    assert "Deep Speech is torchaudio's, which cannot be imported" in found.stderr


def test_the_key_of_cached_frames_names_what_resampled(run):
    import soxr

    assert soxr.__version__ in str(run.model.task.input.encoding())
