"""Which trial a search ends with."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmtransfer.config import TEXT
from mmtransfer.metrics import Score
from mmtransfer.resolution import resolve
from mmtransfer.search import final, refitting, tuning
from mmtransfer.search.trial import Trial


def trial(number, name, wrong, n=100, first=0):
    """Of examples from `first` to `n`, of which the first `wrong` are answered wrongly."""
    config = resolve(task=TEXT, train="-", strategy="linear-probe" if name == "linear-probe" else "full")
    made = Trial(number, "builtin", name, config, Path("-"), "finished")
    right = [place >= wrong for place in range(n)][first:]
    answers = ["x" if one else "y" for one in right]
    ids = [str(place) for place in range(n)][first:]
    made.records = {"id": ids, "target": ["x"] * len(ids), "prediction": answers, "loss": [1.0] * len(ids)}
    made.score = Score(sum(right) / len(right), None, None, len(right), "")
    return made


def search_of(monkeypatch, *trials, **settings):
    monkeypatch.setattr(tuning, "backbones", lambda search: [SimpleNamespace(name="builtin")])
    search = SimpleNamespace(trials=trials, settings=settings, metric="accuracy", higher_is_better=True)
    search.order = lambda one: (-one.value, one.loss)
    search.stopped = lambda: False
    return search


def chosen(monkeypatch, *trials, goes_on=True, **settings):
    return final.choose(search_of(monkeypatch, *trials, **settings), goes_on).name


@pytest.mark.parametrize(("wrong", "expected"), [(20, "linear-probe"), (19, "linear-probe"), (10, "full")])
def test_a_trained_one_has_to_be_better_by_more_than_the_standard_error(monkeypatch, wrong, expected):
    probe, trained = trial(0, "linear-probe", 20), trial(1, "full", wrong)
    assert chosen(monkeypatch, probe, trained) == expected
    assert chosen(monkeypatch, probe, trained, strategy="full") == "full", "it was asked for"


@pytest.mark.parametrize(("wrong", "expected"), [(20, "linear-probe"), (19, "full")])
def test_of_one_whose_last_epochs_are_to_come_it_is_enough_to_be_better(monkeypatch, wrong, expected):
    probe, trained = trial(0, "linear-probe", 20), trial(1, "full", wrong)
    trained.config = replace(trained.config, epochs=3, join_validation=1)
    trained.steps, trained.planned, trained.state = 20, 30, "paused"
    assert chosen(monkeypatch, probe, trained) == expected
    assert chosen(monkeypatch, probe, trained, goes_on=False) == "linear-probe", "they will not come"
    trained.steps = 30
    assert chosen(monkeypatch, probe, trained) == "linear-probe", "they have been"


@pytest.mark.parametrize("comes", [True, False])
def test_where_the_last_epochs_do_not_come_it_is_chosen_again(monkeypatch, comes):
    probe, trained = trial(0, "linear-probe", 20), trial(1, "full", 19)
    trained.config = replace(trained.config, epochs=3, join_validation=1)
    trained.steps, trained.planned, trained.state = 20, 30, "paused"
    monkeypatch.setattr(refitting, "end", lambda search, best: best if comes else None)
    auto = import_module("mmtransfer.auto")  # the attribute of this name is the function
    assert auto._chosen(search_of(monkeypatch, probe, trained)) == ((trained, trained) if comes else (probe, None))


def test_the_probe_is_asked_about_the_examples_that_the_other_was_scored_on(monkeypatch):
    probe, trained = trial(0, "linear-probe", 60), trial(1, "full", 20, first=60)
    assert probe.value < trained.value
    assert chosen(monkeypatch, probe, trained) == "linear-probe", "it has all of these right as well"


def test_without_records_of_the_same_examples_scores_decide(monkeypatch):
    probe, trained = trial(0, "linear-probe", 20), trial(1, "full", 19)
    trained.records["id"] = [f"other {name}" for name in trained.records["id"]]
    assert chosen(monkeypatch, probe, trained) == "full"
    trained.records = None
    assert chosen(monkeypatch, probe, trained) == "full"


@pytest.mark.parametrize(("state", "last"), [("finished", None), ("paused", 19), ("out of time", 19)])
def test_what_was_stopped_in_its_last_epochs_is_repeated_up_to_there(state, last):
    stopped = trial(0, "full", 10)
    # epochs on all data have more steps than were planned
    stopped.planned, stopped.steps, stopped.state = 18, 19, state
    assert final.settings_of(stopped).stop_after == last
