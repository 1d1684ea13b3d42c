"""Checkpoints beside training: what is written is what was there when it was asked for, and nothing is lost."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

import mmtransfer as mmt
from mmtransfer.engine import checkpoint, saver
from mmtransfer.engine.saver import Saver
from mmtransfer.engine.state import TrainState
from mmtransfer.errors import MMTransferError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def made(place: Path):
    saver = Saver(place, minutes=0)
    yield saver
    saver.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written until it is set."""
    opened, write = threading.Event(), checkpoint.write

    def waiting(*given) -> None:
        assert opened.wait(60)
        write(*given)

    monkeypatch.setattr(checkpoint, "write", waiting)
    return opened


def state(step: int, best: str | None = None, **more) -> dict:
    return TrainState(steps_done=step, best=best, **more).state_dict()


def weights(path: Path) -> list[float]:
    return load_file(path / "weights.safetensors")["w"].tolist()


def test_what_is_written_is_what_was_there_when_it_was_asked_for(made, place, gate):
    value, moment = torch.zeros(2), torch.zeros(2)
    made.save(state(1), {"w": value}, {"0.exp_avg": moment})
    value += 1  # training goes on
    moment += 1
    assert not place.exists()
    gate.set()
    made.wait()
    tensors, read = checkpoint.read_point(checkpoint.newest(place))
    assert read["steps_done"] == 1
    assert tensors["weights.safetensors"]["w"].tolist() == [0, 0]
    assert tensors["optimizer.safetensors"]["0.exp_avg"].tolist() == [0, 0]


@pytest.mark.gpu
def test_a_gpu_copies_before_the_next_step_and_nobody_waits(made, place, gate):
    value = torch.zeros(2**24, device="cuda")
    made.save(state(1), {"w": value}, {})
    for _ in range(100):
        value += 1
    gate.set()
    made.wait()
    assert not load_file(place / "step-1" / "weights.safetensors")["w"].any()
    (copy,) = saver._copied({"w": value}).values()
    assert copy.is_pinned()


def test_the_next_one_waits_for_the_one_before(made, place, gate):
    made.save(state(1), {"w": torch.tensor([1.0])}, {})
    threading.Timer(0.05, gate.set).start()
    made.save(state(2), {"w": torch.tensor([2.0])}, {})
    assert weights(place / "step-1") == [1.0]
    made.wait()
    assert weights(place / "step-2") == [2.0] and (place / "last").read_text() == "step-2\n"


def test_a_full_disk_is_raised_by_the_next_call_and_leaves_no_half_of_one(made, place, monkeypatch):
    def full(path: Path, tensors: object) -> str:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    made.save(state(1), {"w": torch.ones(2)}, {})
    made.wait()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.tensorfile, "write", full)
        made.save(state(2), {"w": torch.ones(2)}, {})
        with pytest.raises(MMTransferError, match="Cannot write .*: the disk is full"):
            made.save(state(3), {"w": torch.ones(2)}, {})
        made.wait()  # it has been said
        made.save(state(4), {"w": torch.ones(2)}, {})
        with pytest.raises(MMTransferError, match="the disk is full"):
            made.wait()
    assert sorted(path.name for path in place.iterdir()) == ["last", "step-1"]
    assert checkpoint.newest(place) == place / "step-1"


def test_the_best_weights_are_written_with_the_next_checkpoint(made, place):
    value = torch.ones(2)
    made.keep_best("best-1", {"w": value})
    value += 1
    assert not place.exists()
    made.save(state(2, "best-1"), {"w": value}, {})
    made.wait()
    assert weights(place / "best-1") == [1, 1] and weights(place / "step-2") == [2, 2]
    assert made.best("best-1")["w"].tolist() == [1, 1]
    assert Saver(place, 0).best("best-1")["w"].tolist() == [1, 1], "a run that goes on finds them on disk"
    before = (place / "best-1" / "weights.safetensors").stat().st_mtime_ns
    made.save(state(3, "best-1"), {"w": value}, {})
    made.wait()
    assert (place / "best-1" / "weights.safetensors").stat().st_mtime_ns == before, "they are written once"


def test_weights_that_are_the_best_are_written_once(made, place):
    made.keep_best("best-1", {"w": torch.ones(2)})
    made.save(state(1, "best-1"), {"w": torch.ones(2)}, {}, is_best=True)
    made.wait()
    one, other = (place / name / "weights.safetensors" for name in ("best-1", "step-1"))
    assert one.samefile(other) and checkpoint.newest(place) == place / "step-1"
    made.keep_best("best-2", {"w": torch.zeros(2)})
    made.save(state(2, "best-2"), {"w": torch.zeros(2)}, {}, is_best=True)
    made.save(state(3, "best-2"), {"w": torch.ones(2)}, {})
    made.wait()
    assert sorted(path.name for path in place.iterdir()) == ["best-2", "last", "step-2", "step-3"]
    assert weights(place / "step-2") == [0, 0] and weights(place / "step-3") == [1, 1]


def test_a_file_system_without_second_names_has_them_twice(made, place, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    made.keep_best("best-1", {"w": torch.ones(2)})
    made.save(state(1, "best-1"), {"w": torch.ones(2)}, {}, is_best=True)
    made.wait()
    assert weights(place / "best-1") == weights(place / "step-1") == [1, 1]
    assert checkpoint.newest(place) == place / "step-1"


def test_the_same_state_is_not_written_again(made, place):
    made.save(state(1, spent={"total": 1.0}), {"w": torch.ones(2)}, {})
    made.wait()
    before = (place / "step-1" / "state.json").stat().st_mtime_ns
    made.save(state(1, spent={"total": 2.0}), {"w": torch.ones(2)}, {})
    made.wait()
    assert (place / "step-1" / "state.json").stat().st_mtime_ns == before
    made.save(state(1, epoch=1), {"w": torch.ones(2)}, {})
    made.wait()
    assert checkpoint.state_of(place / "step-1")["epoch"] == 1


def test_what_memory_cannot_copy_is_written_at_once(made, place, monkeypatch):
    monkeypatch.setattr(saver.memory, "free_bytes", lambda: 8)
    monkeypatch.setattr(saver, "_copied", lambda *_: pytest.fail("it was copied"))
    value = torch.ones(2)
    made.keep_best("best-1", {"w": value})
    assert weights(place / "best-1") == [1, 1]
    made.save(state(1, "best-1"), {"w": value}, {"m": value}, is_best=True)
    value += 1
    assert weights(place / "step-1") == [1, 1] and (place / "last").exists()
    assert made.best("best-1")["w"].tolist() == [1, 1]


def test_damaged_best_weights_are_refused(made, place):
    made.keep_best("best-1", {"w": torch.ones(2)})
    made.save(state(1, "best-1"), {"w": torch.ones(2)}, {}, is_best=True)
    made.wait()
    (place / "best-1" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(MMTransferError, match="The best weights of the run are damaged"):
        Saver(place, 0).best("best-1")


def test_an_epoch_ends_with_one_where_the_last_is_old(place, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(saver.time, "monotonic", lambda: now)
    made = Saver(place, minutes=2)
    now += 119
    assert not made.is_due()
    now += 1
    assert made.is_due()
    made.save(state(1), {"w": torch.ones(2)}, {})
    assert not made.is_due()
    assert Saver(place, minutes=0).is_due()
    made.close()


def test_closing_waits_and_hides_no_other_error(made, place, gate):
    made.save(state(1), {"w": torch.ones(2)}, {})
    threading.Timer(0.05, gate.set).start()
    made.close()
    assert checkpoint.newest(place) == place / "step-1"


@pytest.fixture
def run(tmp_path: Path) -> dict:
    """The settings of a run of three epochs of four steps."""
    given = {"strategy": "full", "epochs": 3, "batch_size": 12, "threads": 1, "cache": "off", "weights": "none"}
    return tiny.text_settings(tmp_path) | given | {"out": str(tmp_path / "run")}


@pytest.mark.parametrize(("minutes", "steps"), [(2, [12]), (0, [4, 8, 12])])
def test_a_run_writes_no_more_than_it_is_asked_for_and_tells_what_that_cost(run, monkeypatch, minutes, steps):
    written, write = [], checkpoint.write

    def noted(folder: Path, name: str, *rest) -> None:
        written.append((name, threading.current_thread() is threading.main_thread()))
        write(folder, name, *rest)

    monkeypatch.setattr(checkpoint, "write", noted)
    result = mmt.fit(**run, checkpoint_minutes=minutes).result
    assert [name for name, _ in written if name.startswith("step-")] == [f"step-{step}" for step in steps]
    assert not any(main for _, main in written)
    assert 0 < result["throughput"]["checkpoint_share"] < 1 and result["seconds"]["checkpoint"] > 0


def test_a_stopped_run_says_that_it_can_go_on_when_it_can(run, monkeypatch):
    def full(path: Path, tensors: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    advance = TrainState.advance

    def stop(state: TrainState, *counts) -> None:
        advance(state, *counts)
        if state.steps_done == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(TrainState, "advance", stop)
    monkeypatch.setattr(checkpoint.tensorfile, "write", full)
    with pytest.raises(MMTransferError, match="Cannot write .*safetensors: the disk is full"):
        mmt.fit(**run)
