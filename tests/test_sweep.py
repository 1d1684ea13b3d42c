"""Every strategy on every backbone with several seeds: what is run, in which order, gone on with, and compared."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError

sweeping: Any = import_module("mmtransfer.sweep")  # the package has a function of that name


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of quick runs on texts, and two backbones with random weights."""
    folder = tmp_path_factory.mktemp("data")
    settings = tiny.text_settings(folder)
    for name, width in (("one", 16), ("two", 24)):
        tiny.bert(folder / name, [chr(97 + n) for n in range(26)], weights=True, hidden_size=width)
    kept = {name: value for name, value in settings.items() if name not in ("task", "backbone", "weights")}
    return {**kept, "backbones": [str(folder / "one"), str(folder / "two")], "strategies": ["linear-probe", "full"]}


@pytest.fixture(scope="module")
def made(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return mmt.sweep(TEXT, **given, seeds=2, out=tmp_path_factory.mktemp("runs") / "sweep")


def test_all_configurations_are_run_with_all_seeds_and_compared(made):
    names = [str(path.relative_to(made.folder)) for path in made.done]
    firsts = [f"{way}-{start}/seed-0" for start in ("one", "two") for way in ("linear-probe", "full")]
    assert names == [*firsts, *(name.replace("seed-0", "seed-1") for name in firsts)]
    assert made.comparison is not None and made.left_out == {}
    assert [entry.name for entry in made.comparison.entries] == [f"{name.split('/')[0]} (2 seeds)" for name in firsts]
    frame = made.comparison.to_frame()
    assert sorted(frame["name"]) == ["full  one", "full  two", "linear-probe  one", "linear-probe  two"]
    assert frame["accuracy"].tolist() == sorted(frame["accuracy"], reverse=True)
    assert (frame["low"] <= frame["accuracy"]).all() and frame["difference"].isna().sum() == 1


def test_it_goes_on_where_it_was_stopped(made, given, monkeypatch, tmp_path):
    begun: list[Path] = []
    fit = sweeping.fit

    def counted(**settings: Any) -> Any:
        begun.append(settings["out"])
        return fit(**settings)

    monkeypatch.setattr(sweeping, "fit", counted)
    again = mmt.sweep(TEXT, **given, seeds=2, out=made.folder)
    assert begun == [] and again.done == made.done
    saved = json.loads((made.folder / "sweep.json").read_text())
    assert saved["task"] == TEXT and saved["spent"] > 0
    with pytest.raises(MMTransferError, match="begun with other settings"):
        mmt.sweep(TEXT, **{**given, "epochs": 2}, seeds=2, out=made.folder)


def test_what_would_take_too_long_is_left_out(given, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "_expected", lambda run: 1.0 if "one" in run.configuration else 1e6)
    made = mmt.sweep(TEXT, **given, seeds=1, max_minutes=5, out=tmp_path / "sweep")
    assert [path.parent.name for path in made.done] == ["linear-probe-one", "full-one"]
    assert list(made.left_out) == ["linear-probe-two/seed-0", "full-two/seed-0"]
    assert "it would take about 1000000 s" in made.left_out["full-two/seed-0"]


def test_a_run_that_fails_is_left_out_and_told(given, tmp_path, monkeypatch):
    fit = sweeping.fit

    def fails(**settings: Any) -> Any:
        if settings.get("strategy") == "full":
            raise MMTransferError("There is no room", "the disk", "make some")
        return fit(**settings)

    monkeypatch.setattr(sweeping, "fit", fails)
    made = mmt.sweep(TEXT, **given, seeds=1, out=tmp_path / "sweep")
    assert len(made.done) == 2 and set(made.left_out.values()) == {"There is no room"}


def test_the_command_ends_in_one_table(made, given, command):
    words = ["--strategies", *given["strategies"], "--backbones", *given["backbones"], "--seeds", 2]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if isinstance(value, str | int)]
    status, printed, said = command("sweep", TEXT, *words, *flags, "--out", made.folder, "--report")
    assert status == 0, said
    lines = [line for line in printed.splitlines() if "linear-probe" in line or "full" in line]
    assert len(lines) >= 4 and "best" in lines[0] and max(map(len, printed.splitlines()[:8])) <= 100
    assert (made.folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["no-task"], "Unknown task"),
        ([TEXT], "There is no training data"),
        ([TEXT, "--train", "builtin:library", "--strategies", "fulll"], "Unknown strategy"),
        ([TEXT, "--train", "builtin:library", "--seeds", "none"], "--seeds must be a whole number"),
        ([TEXT, "--train", "builtin:library", "--seeds", "0"], "--seeds must be 1 or more"),
        ([TEXT, "--train", "builtin:library", "--seed", "3"], "sweep does not read --seed"),
        ([TEXT, "--train", __file__, "--seeds", "3"], "Each seed would cut validation data of its own"),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(words, what, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, said = command("sweep", *words)
    assert status == 2 and what in said and len(said.strip().splitlines()) == 3
    assert list(tmp_path.iterdir()) == []
