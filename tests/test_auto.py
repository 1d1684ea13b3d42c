"""The best model for a budget: one run folder, an ordinary run, which its config.json repeats without the search."""

from __future__ import annotations

import json
import signal

import pytest
import tiny
from safetensors.torch import load_file

import mmtransfer as mmt
from mmtransfer.auto import outlook
from mmtransfer.cli import ending, tables
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.search import halving, journal, probing, refitting, space, tuning
from mmtransfer.search.space import Way

WAYS = (Way("full"), Way("full", 3.0), Way("bitfit"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of letters, of which `a` to `m` are one class, and a backbone with random weights."""
    folder = tmp_path_factory.mktemp("auto")
    flags = tiny.text(folder)
    pairs = zip(LETTERS[:-7], LETTERS[7:], strict=True)
    rows = [f"{letter} {other},{'first' if letter < 'n' else 'second'}" for letter, other in pairs]
    (folder / "all.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return {
        "train": str(folder / "all.csv"),
        "test": str(folder / "all.csv"),
        "backbones": [flags[flags.index("--backbone") + 1]],
        "weights": "none",
        "max_length": 16,
        "threads": 1,
        "cache_dir": str(folder / "cache"),
    }


LETTERS = [chr(97 + number * 7 % 26) for number in range(127)]


@pytest.fixture
def few_ways(monkeypatch):
    monkeypatch.setattr(tuning, "SPACE", {**space.SPACE, TEXT: WAYS})
    monkeypatch.setattr(halving, "LEAST", 1)


def told(folder):
    return json.loads((folder / "auto.json").read_text())


def tensors(folder):
    found = load_file(folder / "model" / "head.safetensors")
    return {**found, **load_file(folder / "model" / "backbone.safetensors")}


def test_the_winner_is_an_ordinary_run_that_its_settings_repeat(data, few_ways, tmp_path, capsys):
    run = mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=20, epochs=6, strategy="full")
    about = told(tmp_path / "run")
    ways = [trial["way"] for trial in about["trials"]]
    assert ways == ["linear-probe"] * 2 + ["full", "full x3", ways[-1]] and ways[-1].endswith("on all data")
    assert about["status"] == "finished"
    assert all(trial["seconds"] > 0 and trial["validation"]["n"] > 0 for trial in about["trials"])
    assert "too good" in about["note"] and not (tmp_path / "run" / "trials").exists()
    chosen = about["trials"][about["chosen"]["trial"]]
    assert chosen["way"] == ways[-1], "examples are few"
    ending.show(run)
    assert "validation, before the last training on all data: accuracy" in capsys.readouterr().out
    assert run.result["status"] == "finished" and run.metrics["test"]["accuracy"]["n"] == 120
    again = mmt.fit(**json.loads((tmp_path / "run" / "config.json").read_text()) | {"out": str(tmp_path / "again")})
    mine, theirs = tensors(tmp_path / "run"), tensors(tmp_path / "again")
    assert mine.keys() == theirs.keys() and all((mine[name] == theirs[name]).all() for name in mine)
    assert again.metrics["test"] == run.metrics["test"]


def test_the_winner_of_many_examples_ends_with_epochs_on_all_of_them(data, few_ways, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(refitting, "FEW", 10)
    given = {**data, "max_minutes": 20, "epochs": 6, "strategy": "full", "lr": 1e-3}
    run = mmt.auto(TEXT, **given, out=tmp_path / "run")
    about = told(tmp_path / "run")
    chosen = about["trials"][about["chosen"]["trial"]]
    assert about["plan"]["joined"] == run.config.join_validation == 2 and chosen["state"] == "finished"
    assert chosen["why"] == "the last 2 epochs on all data"
    assert chosen["rungs"][-1]["steps"] == 4 * 3 and chosen["steps"] == 4 * 3 + 2 * 4, "96 examples, then 120"
    assert run.metrics["validation"]["accuracy"]["value"] == about["chosen"]["validation"]["value"]
    assert run.metrics["validation"]["accuracy"]["n"] == 24
    ending.show(run)
    assert "validation, before the last epochs on all data: accuracy" in capsys.readouterr().out
    (phase,) = run.result["phases"]
    assert [entry["epoch"] for entry in phase["validations"]] == [1, 2, 3, 4]
    again = mmt.fit(**json.loads((tmp_path / "run" / "config.json").read_text()) | {"out": str(tmp_path / "again")})
    mine, theirs = tensors(tmp_path / "run"), tensors(tmp_path / "again")
    assert mine.keys() == theirs.keys() and all((mine[name] == theirs[name]).all() for name in mine)
    assert again.metrics["test"]["accuracy"] == run.metrics["test"]["accuracy"] and "validation" not in again.metrics


def test_what_cannot_go_on_with_more_data_keeps_its_validation_data(data, monkeypatch, tmp_path):
    monkeypatch.setattr(refitting, "FEW", 10)
    given = {**data, "max_minutes": 20, "epochs": 3, "lr": 1e-3}
    for strategy in ("wise-ft", "gradual"):
        run = mmt.auto(TEXT, **given, strategy=strategy, out=tmp_path / strategy)
        assert told(tmp_path / strategy)["plan"]["joined"] == 0 and run.config.join_validation is None
        assert run.result["status"] == "finished" and run.config.stop_after is None


def test_without_time_for_them_the_winner_ends_before_these_epochs(data, few_ways, tmp_path, monkeypatch):
    monkeypatch.setattr(refitting, "FEW", 10)
    monkeypatch.setattr(refitting, "join", lambda search, chosen: None)
    run = mmt.auto(TEXT, **data, max_minutes=20, epochs=6, strategy="full", lr=1e-3, out=tmp_path / "run")
    assert run.config.stop_after == 12 and run.metrics["validation"]["accuracy"]["n"] == 24
    again = mmt.fit(**json.loads((tmp_path / "run" / "config.json").read_text()) | {"out": str(tmp_path / "again")})
    assert again.metrics["test"] == run.metrics["test"] and again.metrics["validation"] == run.metrics["validation"]


def test_what_is_stopped_is_the_best_so_far_and_goes_on(data, few_ways, tmp_path, monkeypatch, caplog):
    given = {**data, "max_minutes": 20, "epochs": 6, "strategy": "full"}
    say = journal.Search.say

    def stop(search, what):
        say(search, what)
        if "rung 1 of 2, 2" in what:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(journal.Search, "say", stop)
    stopped = mmt.auto(TEXT, **given, out=tmp_path / "run")
    assert stopped.result["status"] == "finished" and told(tmp_path / "run")["status"] == "stopped"
    assert "--resume --out" in caplog.text
    monkeypatch.setattr(journal.Search, "say", say)
    run = mmt.auto(TEXT, out=tmp_path / "run", resume=True, max_minutes=40)
    whole = mmt.auto(TEXT, **given, out=tmp_path / "whole")
    about = told(tmp_path / "run")
    assert about["status"] == "finished" and [trial["way"] for trial in about["trials"]][1:3] == [
        "linear-probe",
        "full",
    ]
    assert run.metrics["test"] == whole.metrics["test"]
    assert about["chosen"]["validation"] == told(tmp_path / "whole")["chosen"]["validation"]


def test_no_time_at_all_still_gives_a_probe(data, tmp_path, caplog):
    run = mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=1e-4)
    assert run.config.strategy == "linear-probe" and run.metrics["test"]
    assert "there is no time to train" in caplog.text


def test_of_few_examples_the_probe_that_is_surer_of_what_is_right_stays(data, tmp_path, monkeypatch, capsys):
    run = mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=20, strategy="linear-probe")
    tables.show_choice(run)
    assert capsys.readouterr().out.count("linear-probe") == 1, "the one that was replaced is not listed"
    one, other = told(tmp_path / "run")["trials"]
    assert [trial["settings"]["pooling"] for trial in (one, other)] == [None, "unit"]
    better, worse = sorted((one, other), key=lambda trial: trial["rungs"][-1]["loss"])
    assert worse["state"] == "replaced" and better["state"] == "finished"
    assert told(tmp_path / "run")["chosen"]["trial"] == better["number"]
    mmt.auto(TEXT, **data, pooling="cls", out=tmp_path / "cls", max_minutes=20, strategy="linear-probe")
    assert len(told(tmp_path / "cls")["trials"]) == 1, "the user has said how texts are pooled"
    monkeypatch.setattr(probing, "A_CLASS", 50)
    mmt.auto(TEXT, **data, out=tmp_path / "many", max_minutes=20, strategy="linear-probe")
    assert len(told(tmp_path / "many")["trials"]) == 1


def test_a_probe_of_a_part_of_the_data_is_widened_where_time_is_left(data, tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "_affordable", lambda *given: 0.2)
    run = mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=20, strategy="linear-probe")
    part, whole = told(tmp_path / "run")["trials"]
    assert part["state"] == "replaced" and part["validation"]["n"] == 50 and whole["validation"]["n"] == 120
    assert told(tmp_path / "run")["chosen"]["trial"] == whole["number"] and run.config.shots is None


def test_time_that_is_left_over_goes_to_the_best_that_was_dropped(data, few_ways, tmp_path):
    mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=20, epochs=6, strategy="full")
    trained = [trial for trial in told(tmp_path / "run")["trials"] if trial["way"] in ("full", "full x3")]
    assert [trial["steps"] for trial in trained] == [trial["planned_steps"] for trial in trained] and len(trained) == 2
    assert sorted(len(trial["rungs"]) for trial in trained) == [2, 2]


def test_candidates_that_were_not_planned_are_tried_with_the_time_that_is_left(data, few_ways, tmp_path, monkeypatch):
    monkeypatch.setattr(halving, "plan", lambda *given: halving.Plan(2, 1, (1.0,), 1.0))
    mmt.auto(TEXT, **data, out=tmp_path / "run", max_minutes=20, strategy="full")
    trials = {trial["way"]: trial for trial in told(tmp_path / "run")["trials"]}
    assert trials["full"]["state"] == trials["full x3"]["state"] == "finished"


def test_a_search_can_be_looked_at_before_it_is_made(data):
    search = outlook(TEXT, **data, max_minutes=20)
    (facts,) = search.facts.values()
    assert facts.examples == {"train": 96, "validation": 24, "test": 120} and not search.trials
    assert search.plan is not None and search.plan.candidates > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbones": ["builtin"], "max_parameters": 1000}, "--max-parameters"),
        ({"backbones": ["no-such-network"]}, "no-such-network"),
        ({"backbones": ["org/not-here"]}, "org/not-here"),
        ({"prefer": "beauty"}, "beauty"),
        ({"max_minutes": 0}, "max_minutes=0 leaves no time"),
        ({"stop_after": 3}, "auto does not read"),
        ({"train": None}, "There is no training data"),
    ],
)
def test_what_cannot_be_done_is_refused(data, tmp_path, given, message):
    with pytest.raises(MMTransferError) as error:
        mmt.auto(TEXT, **{**data, **given}, out=tmp_path / "run")
    assert message.replace("--max-parameters", "max_parameters") in str(error.value)
    assert not (tmp_path / "run" / "model").exists()


def test_one_class_is_refused(data, tmp_path):
    (tmp_path / "one.csv").write_text("text,label\n" + "a b,x\nb c,x\n" * 9)
    with pytest.raises(MMTransferError, match="All training examples have the label 'x'"):
        mmt.auto(TEXT, **{**data, "train": str(tmp_path / "one.csv"), "test": None}, out=tmp_path / "run")
