"""Several seeds: a folder for each, how scores spread, what resuming makes, which folders are refused."""

from __future__ import annotations

import json
import statistics

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli import tables
from mmtransfer.cli.flags import parse
from mmtransfer.comparison import compare
from mmtransfer.config import SPEECH, TEXT, RunConfig, make
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repeats")
    made = parse(TEXT, [*tiny.text(folder), "--weights", "none"], {}, "a test")
    return {**made, "test": made["validation"], "epochs": 1, "batch_size": 24, "threads": 1}


@pytest.fixture(scope="module")
def repeats(given, tmp_path_factory):
    return mmt.repeat(make(given, "a test"), 3, seed=4, out=tmp_path_factory.mktemp("out"))


def test_every_seed_has_a_run_folder_and_the_spread_is_theirs(repeats):
    assert repeats.seeds == [4, 5, 6]
    found = json.loads((repeats.folder / "repeats.json").read_text())
    assert set(found) == {"program", "schema", "task", "seeds", "runs", "primary", "metrics"}
    assert found["runs"] == ["seed-4", "seed-5", "seed-6"] and found["primary"] == {"name": "accuracy", "split": "test"}
    values = [mmt.load(repeats.folder / name).metrics["test"]["f1_macro"]["value"] for name in found["runs"]]
    spread = found["metrics"]["test"]["f1_macro"]
    assert spread["mean"] == pytest.approx(statistics.fmean(values))
    assert spread["sd"] == pytest.approx(statistics.stdev(values))
    assert (spread["min"], spread["max"]) == (min(values), max(values))
    for name in ("accuracy", "f1_macro", "recall_weighted"):
        spread = found["metrics"]["test"][name]
        assert 0 <= spread["low"] <= spread["mean"] <= spread["high"] <= 1 and spread["method"].startswith("crossed")
    assert found["metrics"]["test"]["f1[x]"]["low"] is None


def test_resuming_makes_what_is_missing_with_the_same_settings(repeats, given, command):
    before = {path: path.stat().st_mtime_ns for path in repeats.folder.glob("seed-*/result.json")}
    status, printed, said = command("fit", TEXT, "--resume", "--repeats", "4", "--out", repeats.folder)
    assert status == 0, said
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    found = json.loads((repeats.folder / "repeats.json").read_text())
    assert found["seeds"] == [4, 5, 6, 7] and "4 seeds" in printed
    one, other = (json.loads((repeats.folder / f"seed-{seed}" / "config.json").read_text()) for seed in (4, 7))
    assert {name for name in one if one[name] != other[name]} == {"seed", "out"}


def test_a_signal_names_the_command_that_goes_on_with_all(given, tmp_path, monkeypatch):
    def stopped(**settings):
        raise Interrupted(15, "of one run", tmp_path)

    monkeypatch.setattr("mmtransfer.repeats.fit", stopped)
    with pytest.raises(Interrupted) as stop:
        mmt.repeat(n=3, **given, out=tmp_path / "all")
    assert stop.value.command == f"mmtransfer fit {TEXT} --repeats 3 --resume --out {tmp_path / 'all'}"


def test_other_test_data_under_the_same_runs_is_refused(given, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("text,label\na b,x\nb c,y\n")
    changed = {**given, "test": str(test)}
    mmt.repeat(n=1, **changed, out=tmp_path / "all")
    test.write_text("text,label\na b,x\nb d,y\n")
    with pytest.raises(MMTransferError, match="different test data"):
        mmt.repeat(n=2, **changed, out=tmp_path / "all", resume=True)


def test_validation_data_cut_by_the_seed_has_no_interval(given, tmp_path):
    cut = {name: value for name, value in given.items() if name not in ("validation", "test")}
    made = mmt.repeat(n=2, **cut, out=tmp_path / "all")
    spread = made.metrics["validation"]["accuracy"]
    assert spread["low"] is None and spread["method"] == "every seed has validation data of its own"
    assert spread["sd"] is not None


def test_folds_are_scores_of_the_training_data(given, tmp_path):
    folds = {name: value for name, value in given.items() if name not in ("validation", "test", "epochs", "batch_size")}
    probe = {"strategy": "linear-probe", "strategy_options": {"folds": 3}}
    made = mmt.repeat(n=2, **folds, **probe, out=tmp_path / "all")
    spread = made.metrics["validation"]["accuracy"]
    assert spread["low"] < spread["mean"] < spread["high"]
    other = mmt.fit(**folds, **probe, pooling="cls", out=tmp_path / "other")
    assert compare([tmp_path / "all" / "seed-0", other.folder.path]).split == "validation"


def test_one_speaker_gives_an_interval_by_recording(tmp_path):
    made = parse(SPEECH, [*tiny.speech(tmp_path), "--weights", "none", "--epochs", "1"], {}, "a test")
    alone = {**made, "group_column": "speaker", "test_group": "s1"}
    repeats = mmt.repeat(n=2, **alone, threads=1, out=tmp_path / "all")
    spread = repeats.metrics["test"]["wer"]
    assert spread["low"] < spread["mean"] < spread["high"] and "by recording (one speaker" in spread["method"]
    own = repeats.runs[0].metrics["test"]["wer"]
    assert own["low"] is not None and "by recording (one speaker" in own["method"]


def test_word_errors_spread_over_speakers(tmp_path):
    made = parse(SPEECH, [*tiny.speech(tmp_path), "--weights", "none", "--epochs", "1"], {}, "a test")
    found = mmt.repeat(n=2, **made, test=made["validation"], threads=1, out=tmp_path / "all").metrics["test"]
    for name in ("wer", "cer"):
        assert found[name]["low"] < found[name]["mean"] < found[name]["high"]


def test_folders_that_hold_something_are_refused(given, tmp_path, repeats):
    with pytest.raises(MMTransferError, match="The folder exists") as error:
        mmt.repeat(n=2, **given, out=repeats.folder)
    assert "--resume to make what is missing" in error.value.do
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(MMTransferError, match="Not a folder of repeated runs, .* mine.txt"):
        mmt.repeat(n=2, **given, out=tmp_path, overwrite=True)
    with pytest.raises(MMTransferError, match="0 runs are none"):
        mmt.repeat(RunConfig(task=TEXT), 0)


def test_runs_that_give_no_label_to_any_example_can_be_repeated(tmp_path):
    """Columns of empty lists tell no type of their own."""
    rows = [{"text": f"{'a b c d'[: 1 + 2 * (number % 4)]}", "label": []} for number in range(40)]
    rows[0]["label"] = rows[1]["label"] = ["rare"]
    backbone = tiny.text(tmp_path)[5]
    settings = {"task": TEXT, "target": "multi-label", "backbone": backbone, "weights": "none", "max_length": 16}
    test = [row for row in rows if not row["label"]][:8]
    made = mmt.repeat(n=2, train=rows, test=test, **settings, epochs=1, threads=1, cache="off", out=tmp_path / "runs")
    assert made.metrics["test"]


@pytest.mark.parametrize("target", ["regression", "multi-label"])
def test_numbers_and_labels_spread_and_are_compared(tmp_path, capsys, target):
    rows = [{"text": "a b c d"[: 1 + 2 * (number % 4)], "label": float(number % 4)} for number in range(48)]
    if target == "multi-label":
        rows = [{**row, "label": ["x", "y", "z"][: int(row["label"])] or ["w"]} for row in rows]
    settings = {"task": TEXT, "target": target, "backbone": tiny.text(tmp_path)[5], "weights": "none", "epochs": 2}
    settings |= {"train": rows[:32], "test": rows[32:], "max_length": 16, "threads": 1, "cache": "off"}
    made = mmt.repeat(n=2, **settings, out=tmp_path / "all")
    name = made.runs[0].result["primary"]["name"]
    spread = made.metrics["test"][name]
    assert spread["low"] <= spread["mean"] <= spread["high"] and spread["method"].startswith("crossed bootstrap")
    tables.show_spread(made)
    assert name in capsys.readouterr().out, "the score that decides is shown, whatever it is called"
    other = mmt.fit(**settings, lr=1e-2, out=tmp_path / "other")
    difference = compare([made.folder, other.folder.path]).verdicts[0].difference
    assert difference.value == pytest.approx(spread["mean"] - other.metrics["test"][name]["value"])
    assert difference.method == "paired bootstrap, 2000 draws, seeds crossed"
