"""The page of speech: its rows parse, a small one is measured, one out of reach says why, what is known is shown."""

from __future__ import annotations

import json
import shlex

import pytest
import tiny

from benchmarks import speech, wer_intervals
from mmtransfer.cli.flags import parse
from mmtransfer.config import SPEECH
from mmtransfer.errors import MMTransferError


@pytest.mark.parametrize("row", speech.ROWS, ids=lambda row: row.name)
def test_commands_parse(row):
    words = shlex.split(speech.command(row))
    assert words[:3] == ["mmtransfer", "fit", SPEECH]
    said = parse(SPEECH, words[3:], {}, "a test")
    assert {name: said[name] for name in row.settings} == dict(row.settings)


def test_a_row_is_measured_both_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(speech, "ROUNDS", 1)
    settings = parse(SPEECH, tiny.speech(tmp_path), {}, "a test")
    settings = {**settings, **tiny.QUICK, "decode": "beam", "test": settings["validation"]}
    settings.pop("task", None)
    found = speech.measure(speech.Row("tiny", "tiny", settings))
    scores, difference = found["scores"], found["difference"]
    assert difference["value"] == pytest.approx(scores["wer"]["value"] - scores["wer_greedy"]["value"])
    assert found["rtf"]["auto"] > 0 < found["rtf"]["greedy"] and set(found["weights"]) == {"model", "word"}


def test_what_is_out_of_reach_says_why(monkeypatch):
    def fit(**settings):
        raise MMTransferError("not in the cache, and https://mirror is out of reach", "--train hub:a/b", "connect")

    monkeypatch.setattr("mmtransfer.fit", fit)
    assert speech.measure(speech.Row("far", "far")) == {"skipped": "not in the cache"}


def test_the_page_shows_what_is_known_of_every_row():
    score = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 9, "method": "m"}
    better = {**score, "value": 0.1, "low": 0.05, "high": 0.15}
    decoded = {
        "scores": {"wer": better, "wer_greedy": score},
        "difference": {"value": -0.1, "low": -0.2, "high": -0.01},
        "rtf": {"greedy": 0.01, "auto": 0.02},
        "seconds": 60.4,
        "cores": 2,
    }
    known = {
        "an4": decoded,
        "fsdd": {"scores": {"wer": score}, "rtf": {"greedy": 0.01, "auto": 0.01}, "seconds": 5.0, "cores": 1},
        "fsdd-theo": decoded,
        "librispeech-1h": {"skipped": "no network"},
    }
    page = speech.render(known, [wer_intervals.measured(10, 0.0, simulations=5)])
    lines = {line.split(" | ")[0][2:]: line for line in page.splitlines() if line.startswith("| ")}
    assert "0.2000 (0.1000 to 0.3000) | 0.1000 (0.0500 to 0.1500) | -0.1000 (-0.2000 to -0.0100) | 50 %" in lines["AN4"]
    assert "0.0100 / 0.0200 | 60 on 2 cores | Kaldi 0.106" in lines["AN4"]
    assert "so not used" in lines["FSDD, official split"]
    assert "skipped: no network" in lines["LibriSpeech 1 h, test-clean"] and "0.245" in page
    assert "not run" in lines["LibriSpeech 10 h, test-clean"]
    assert "mean of 1 of 6 speakers left out: greedy 0.2000, decoded 0.1000, 50 % fewer errors." in page
    assert all(row.data in lines for row in speech.ROWS)


def test_the_page_is_of_the_figures_beside_it():
    results, intervals = (
        json.loads((speech.HERE / "results" / name).read_text()) for name in ("speech.json", "wer_intervals.json")
    )
    assert speech.render(results, intervals) == (speech.HERE / "speech.md").read_text()
