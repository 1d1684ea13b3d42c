"""Synthesised speech for pretraining: the same again, degraded as told, nothing in it that it is measured on."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pretrain import espeak, speech, targets_speech, utterances
from benchmarks.pretrain.degrade import RATE, Degrader, resample
from benchmarks.pretrain.utterances import HELD_OUT, Writer, digest, number


def writer(seed: int = 0) -> Writer:
    return Writer(np.random.default_rng(seed))


def clips(folder: Path) -> dict[str, bytes]:
    """A first shard of 12 seconds, made in a process of its own, as the corpus is."""
    code = (
        f"from pathlib import Path; from benchmarks.pretrain.speech import shard; "
        f"print(shard(Path({str(folder)!r}), 0, 0, 12.0, False))"
    )
    rows = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {"rows": rows.encode()} | {path.name: path.read_bytes() for path in folder.rglob("*.flac")}


def test_the_corpus_is_the_same_to_the_bit(tmp_path):
    first, again = clips(tmp_path / "a"), clips(tmp_path / "b")
    assert first == again and len(first) > 4
    assert len(set(first.values())) == len(first)


def test_nothing_is_said_that_is_held_out():
    words = writer()
    held = ["alarm", "at", "nine", "twenty", "nine"]
    assert digest(" ".join(held)) in words.held_out
    drawn = iter([held, held, ["a", "b", "c"]])
    words._kinds = [lambda _: next(drawn)] * len(words._kinds)
    assert words.draw().text == "a b c"


@pytest.mark.real
def test_all_measured_transcripts_of_three_words_are_held_out(data_folder):
    assert speech.hold_out(data_folder) == HELD_OUT.read_text().split()
    test = (data_folder / "an4" / "test" / "metadata.csv").read_text().splitlines()
    texts = [row["text"].lower() for row in csv.DictReader(test)]
    known = writer().held_out
    assert all((digest(text) in known) == (text.count(" ") >= 2) for text in texts)


def test_one_and_two_words_are_not_held_out():
    assert digest("seven") == digest("go left") == ""
    assert digest("go left seven") != digest("go left six") != ""


def test_voices_are_of_one_part_only():
    training = set(espeak.training_variants())
    assert len(training) > 60
    assert not training & {*espeak.TARGET_VARIANTS, *espeak.VALIDATION_VARIANTS}
    assert not set(espeak.TARGET_VARIANTS) & set(espeak.VALIDATION_VARIANTS)
    assert set(targets_speech.TEST_VARIANTS) < set(espeak.TARGET_VARIANTS)


def test_all_kinds_are_drawn_in_plain_letters():
    words = writer()
    texts = [words.draw().text for _ in range(600)]
    assert all(re.fullmatch(r"[a-z]+('[a-z]+)*( [a-z]+('[a-z]+)*)*", text) for text in texts)
    letters = sum(text.count(" ") >= 2 and all(len(word) == 1 for word in text.split()) for text in texts)
    assert 100 < letters < 250 and sum(text in utterances.DIGITS for text in texts) > 20


def test_letters_are_said_by_their_names():
    words = writer()
    words.chance = lambda probability: True
    words.random = np.random.default_rng(0)
    words.chance = lambda probability: probability == 0.6
    assert words.spoken(["p", "a", "i", "d"]) == "P [['eI]] I D"
    assert words.spoken(["a", "word"]) == "a word"
    assert words.spoken(["a"]) == "[['eI]]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "zero"),
        (10, "ten"),
        (21, "twenty one"),
        (400, "four hundred"),
        (90_017, "ninety thousand seventeen"),
        (345_600, "three hundred forty five thousand six hundred"),
    ],
)
def test_numbers_in_words(value, text):
    assert " ".join(number(value)) == text


def test_degraded_recordings_differ_and_stay_in_range():
    tone = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32) * 0.3
    degrade, again = Degrader(np.random.default_rng(1)), Degrader(np.random.default_rng(1))
    waves = [degrade(tone, 22_050) for _ in range(20)]
    assert all(np.array_equal(wave, again(tone, 22_050)) for wave in waves)
    assert len({len(wave) for wave in waves}) == 20
    for wave in waves:
        assert wave.dtype == np.float32 and np.isfinite(wave).all() and 0.05 < np.abs(wave).max() <= 1
        assert RATE / 1.16 < len(wave) < RATE / 0.84 + 2.1 * RATE


def test_faster_is_shorter_and_higher():
    tone = np.sin(2 * np.pi * 1000 * np.arange(22_050) / 22_050).astype(np.float32)
    fast = resample(tone, 22_050, 1.1)
    assert abs(len(fast) - RATE / 1.1) < 60
    peak = np.abs(np.fft.rfft(fast)).argmax() * RATE / len(fast)
    assert abs(peak - 1100) < 5


def test_an_unknown_voice_is_named():
    with pytest.raises(ValueError, match="no voice 'xx-none'"):
        espeak.Synthesiser().say("a", "xx-none")


def test_commands_have_all_openings():
    words = writer()
    texts = [targets_speech.command(words) for _ in range(300)]
    assert {text[0] for text in texts if len(text) > 1} == set(targets_speech.OPENINGS)
    assert all(len(text) != 2 for text in texts)
