"""One run at a time in a folder: beside a live run none is begun, what a killed one left is taken over aloud."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer import lock
from mmtransfer.cli.flags import parse
from mmtransfer.config import TEXT
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    made = parse(TEXT, [*tiny.text(tmp_path_factory.mktemp("data")), "--weights", "none"], {}, "a test")
    return {**made, "epochs": 2, "batch_size": 24, "threads": 1, "cache": "off", "log_every": 1}


@pytest.fixture(scope="module")
def stopped(given, tmp_path_factory):
    """A run that was stopped after its first epoch."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("mmtransfer.engine.phases._validate", _stopping)
        mmt.fit(**given, out=out)
    assert json.loads((out / "result.json").read_text())["status"] == "stopped"
    assert not (out / "lock.json").exists()
    return out


def _stopping(training, *rest):
    assert json.loads((training.folder / "lock.json").read_text())["pid"] == os.getpid()
    training.state.epoch, training.state.step, training.state.epochs_done = 1, 0, 1
    training.stop.signals.append(signal.SIGTERM)


@pytest.fixture
def run(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / "run"))


@pytest.fixture
def other():
    """Another process."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def locked(folder: Path, pid: int, **changes: object) -> Path:
    """A folder with the lock of a process."""
    own = {"pid": pid, "host": socket.gethostname(), "start": "2026-01-01T00:00:00Z", "began": None}
    folder.mkdir(exist_ok=True)
    (folder / "lock.json").write_text(json.dumps({"program": "mmtransfer", "schema": 1, **own, **changes}))
    return folder / "lock.json"


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_beside_a_live_run_none_is_begun(given, run, other, how):
    before = {path.name for path in locked(run, other.pid).parent.iterdir()}
    with pytest.raises(
        MMTransferError, match=f"Another run is at work in the folder: process {other.pid} on "
    ) as error:
        mmt.fit(**given, out=run, **{how: True})
    assert error.value.where == str(run) and error.value.do == "wait until it has ended, or stop it"
    assert {path.name for path in run.iterdir()} == before


def test_the_lock_of_a_dead_process_is_taken_over_aloud(given, run, other, caplog):
    locked(run, other.pid)
    other.kill()
    other.wait()
    with caplog.at_level("WARNING", "mmtransfer"):
        done = mmt.fit(**given, out=run, resume=True)
    assert f"taking over the lock of {run}: process {other.pid} on {socket.gethostname()}" in caplog.text
    assert done.result["status"] == "finished" and not (run / "lock.json").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell when a process began")
def test_a_later_process_of_the_same_number_does_not_hold_the_lock(given, run, other):
    locked(run, other.pid, began="1")
    assert mmt.fit(**given, out=run, overwrite=True).result["status"] == "finished"


@pytest.mark.parametrize("content", [None, '{"pid": "x"}'])
def test_a_lock_that_cannot_be_asked_is_judged_by_its_age(given, run, caplog, content):
    """Of another machine, or of nobody that can be told."""
    path = locked(run, 1, host="another-machine")
    if content is not None:
        path.write_text(content)
    with pytest.raises(MMTransferError, match="Another run is at work") as error:
        mmt.fit(**given, out=run, overwrite=True)
    assert f"remove {path}" in error.value.do
    os.utime(path, (time.time() - 2 * lock.SILENT_SECONDS,) * 2)
    with caplog.at_level("WARNING", "mmtransfer"):
        assert mmt.fit(**given, out=run, overwrite=True).result["status"] == "finished"
    assert "taking over the lock" in caplog.text and not path.exists()


def test_a_lock_shows_that_its_run_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    held = lock.Lock(tmp_path)
    held.acquire()
    os.utime(held.path, (1.0, 1.0))
    for _ in range(2000):
        if held.path.stat().st_mtime > 1.0:
            break
        time.sleep(0.01)
    assert held.path.stat().st_mtime > 1.0
    held.release()
    assert not held.path.exists()


def test_a_lock_goes_with_a_run_that_fails(given, tmp_path):
    with pytest.raises(MMTransferError, match="training loss is"):
        mmt.fit(**{**given, "lr": 1e30, "optimizer": "sgd"}, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run" / "lock.json").exists()


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_repeated_runs_look_at_the_locks_of_all(given, stopped, other, tmp_path, how):
    for seed in (0, 1):
        shutil.copytree(stopped, tmp_path / "all" / f"seed-{seed}")
    path = locked(tmp_path / "all" / "seed-1", other.pid)
    with pytest.raises(MMTransferError, match="Another run is at work") as error:
        mmt.repeat(n=3, **given, out=tmp_path / "all", **{how: True})
    assert error.value.where == str(tmp_path / "all" / "seed-1")
    assert (tmp_path / "all" / "seed-0" / "result.json").read_text() == (stopped / "result.json").read_text()
    path.unlink()
    locked(tmp_path / "all", other.pid)
    with pytest.raises(MMTransferError, match="Another run is at work") as error:
        mmt.repeat(n=3, **given, out=tmp_path / "all", **{how: True})
    assert error.value.where == str(tmp_path / "all")
