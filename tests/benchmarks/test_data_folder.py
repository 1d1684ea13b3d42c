"""Benchmarks whose data are not there say so, before anything is computed."""

from __future__ import annotations

import runpy
import sys

import pytest

COMMANDS = [
    ["compute_once", "--case", "rank"],
    ["launch"],
    ["lp_ft", "run"],
    ["retrieval"],
    ["suite", "run", "--tier", "smoke"],
    ["pairs", "--data", "no-such-folder/banking77", "--out", "pairs"],
    ["fsdd_speakers", "no-such-folder/fsdd"],
    ["pretrain.speech", "hold-out"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("folder", [None, "no-such-folder"])
def test_data_that_are_not_there(words, folder, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    if folder is None:
        monkeypatch.delenv("MMTRANSFER_DATA", raising=False)
    else:
        monkeypatch.setenv("MMTRANSFER_DATA", folder)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{words[0]}", run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "MMTRANSFER_DATA" in said and "benchmarks/data.md" in said
    assert [line.split(":")[0].strip() for line in said.splitlines()] == ["error", "where", "do"]
    assert not list(tmp_path.iterdir())
