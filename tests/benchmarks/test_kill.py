"""A run is killed and resumed for real; what differs is told, and runs that are known are not made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kill
from mmtransfer.config import TEXT


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls the harness in a folder where these runs are known; returns its exit status."""

    def call(*differs: list[str]) -> int:
        monkeypatch.chdir(tmp_path)
        runs = [{"strategy": "lp-ft", "kills": ["training"], "differs": names} for names in differs]
        kill.PLACE.mkdir(parents=True, exist_ok=True)
        (kill.PLACE / "quick.json").write_text(json.dumps({TEXT: {"seed": 0, "runs": runs}}))
        monkeypatch.setattr(sys, "argv", ["kill", "--task", TEXT, "--kills", str(len(runs)), "--quick"])
        for name, value in kill.ALONE.items():  # the harness sets them for good
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            kill.main()
        return int(str(end.value.code))

    return call


def test_one_run_is_killed_and_ends_as_the_whole_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.kill", "--task", TEXT, "--kills", "1", "--quick"]
    root = Path(kill.__file__).parents[1]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 runs killed" in done.stdout and "1 bit-equal at the end" in done.stdout
    found = json.loads((tmp_path / "runs/kill/quick.json").read_text())[TEXT]
    (run,) = found["runs"]
    assert run["kills"] and run["differs"] == [] and found["summary"]["equal"] == 1
    assert not (tmp_path / "runs/kill" / TEXT / "killed-0").exists()


def test_what_differs_is_named_and_ends_with_1(known: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert known([], ["model/head.safetensors", "log.jsonl"]) == 1
    said = capsys.readouterr().out
    assert "2 runs killed 2 times, 1 bit-equal" in said
    assert "run 1, lp-ft, killed at training: DIFFERS in model/head.safetensors, log.jsonl" in said


def test_runs_that_are_known_are_not_made_again(known: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert known([], []) == 0
    assert "2 runs killed 2 times, 2 bit-equal" in capsys.readouterr().out


def test_every_file_that_a_kill_could_change_is_compared(tmp_path: Path) -> None:
    def run(name: str, weights: bytes, value: float, loss: float) -> dict[str, str]:
        folder = tmp_path / name
        for part in ("model", "predictions"):
            (folder / part).mkdir(parents=True)
            (folder / part / "x").write_bytes(weights)
        content = {"status": "finished", "metrics": {"test": value}, "primary": None, "seconds": hash(name)}
        (folder / "result.json").write_text(json.dumps(content))
        line = {"step": 1, "loss": loss, "examples_per_second": hash(name)}
        (folder / "log.jsonl").write_text(json.dumps(line) + "\n")
        return kill.facts(folder)

    same = run("a", b"1", 0.5, 0.25)
    assert kill.differences(same, run("b", b"1", 0.5, 0.25)) == []
    assert kill.differences(same, run("c", b"2", 0.5, 0.25)) == ["model/x", "predictions/x"]
    assert kill.differences(same, run("d", b"1", 0.5, 0.125)) == ["log.jsonl"]
    assert kill.differences(same, run("e", b"1", 0.75, 0.25)) == ["result.json"]
    assert kill.differences(same, {**same, "model/left over": "3"}) == ["model/left over"]


def test_the_phase_is_read_from_the_disk(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert kill.phase(tmp_path, False) == "start"
    run.mkdir()
    for name, told in {
        "config.json": "start with a run folder",
        "../cache/features/k.partial/x": "cache build",
        "checkpoints/last": "training",
        "model/x": "writing the model",
        "model/manifest.json": "evaluation",
    }.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("")
        assert kill.phase(tmp_path, False) == told and kill.phase(tmp_path, True) == f"{told}, resumed"
    (run / "result.json").write_text('{"status": "finished"}')
    assert kill.phase(tmp_path, False) == "after the result"
