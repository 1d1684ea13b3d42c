"""Variables of a launcher that somebody has set wrongly: told by their name, by every verb."""

from __future__ import annotations

import pytest

import mmtransfer as mmt
from mmtransfer import launcher
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError

WRONG = [
    ({"RANK": "abc"}, "RANK is no whole number: 'abc'"),
    ({"RANK": "1.5"}, "RANK is no whole number: '1.5'"),
    ({"RANK": "²"}, "RANK is no whole number: '²'"),
    ({"WORLD_SIZE": "two"}, "WORLD_SIZE is no whole number: 'two'"),
    ({"LOCAL_RANK": "-"}, "LOCAL_RANK is no whole number: '-'"),
    ({"LOCAL_WORLD_SIZE": "x"}, "LOCAL_WORLD_SIZE is no whole number: 'x'"),
    ({"MASTER_PORT": "http"}, "MASTER_PORT is no whole number: 'http'"),
    ({"MASTER_PORT": "99999"}, "There is no port 99999"),
    ({"RANK": "3", "WORLD_SIZE": "2"}, "RANK is 3, but there are 2 processes, counted from 0"),
    ({"LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"}, "LOCAL_RANK is 2, but there are 2 processes, counted from 0"),
    ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but RANK and MASTER_ADDR and MASTER_PORT say(s) nothing"),
    ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "here"}, "WORLD_SIZE is 2, but MASTER_PORT say(s) nothing"),
]


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("variables", "what"), WRONG)
def test_a_wrong_variable_is_told_by_its_name(command, monkeypatch, tmp_path, variables, what):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for words in (["fit", TEXT, "--out", tmp_path / "run"], ["predict", "run", "x"], ["cache", "ls"]):
        status, _, said = command(*words)
        assert status == 2 and f"error: {what}" in said and "environment variable" in said, said
    with pytest.raises(MMTransferError) as error:
        mmt.fit(task=TEXT, train="builtin", out=tmp_path / "run")
    assert error.value.what == what and not (tmp_path / "run").exists()


def test_what_accelerate_refuses_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "many")
    with pytest.raises(MMTransferError, match="The processes cannot be set up: .*many"):
        mmt.fit(task=TEXT, train="builtin", out=tmp_path / "run")


def test_a_process_has_its_share_of_the_cores_and_at_least_one(monkeypatch):
    monkeypatch.setattr(launcher, "cores", lambda: 6)
    for processes, share in (("1", 6), ("4", 1), ("9", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert launcher.own_cores() == share
