"""Checkpoints: whole or not at all, checked when read."""

from __future__ import annotations

import logging

import pytest
import torch

import mmtransfer
from mmtransfer.engine import checkpoint
from mmtransfer.engine.state import TrainState


@pytest.fixture
def folder(tmp_path):
    for step, best in ((1, "best-1"), (2, "best-1"), (3, "best-3")):
        if best == f"best-{step}":
            checkpoint.write(tmp_path, best, {"weights.safetensors": {"w": torch.full((2,), float(step))}}, None)
        state = TrainState(steps_done=step, best=best).state_dict()
        checkpoint.write(tmp_path, f"step-{step}", {"weights.safetensors": {"w": torch.tensor([step])}}, state)
        checkpoint.commit(tmp_path, f"step-{step}", best)
    return tmp_path


def test_the_last_two_and_their_bests_are_kept(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["best-1", "best-3", "last", "step-2", "step-3"]


def test_what_was_written_is_read(folder):
    tensors, state = checkpoint.read_point(checkpoint.newest(folder))
    restored = TrainState()
    assert state.pop(checkpoint.VERSION) == mmtransfer.__version__
    restored.load_state_dict(state)
    assert restored.steps_done == 3 and tensors["weights.safetensors"]["w"].tolist() == [3]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder, damage, caplog):
    path = folder / "step-3" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-4])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING, "mmtransfer"):
        logging.getLogger("mmtransfer").propagate = True
        found = checkpoint.newest(folder)
    assert found is not None and found.name == "step-2"
    assert "step-3 is damaged" in caplog.text


def test_a_checkpoint_whose_best_is_damaged_is_passed_over(folder):
    (folder / "best-3" / "weights.safetensors").write_bytes(b"")
    found = checkpoint.newest(folder)
    assert found is not None and found.name == "step-2"


def test_after_a_damaged_state_training_goes_on(folder):
    (folder / "step-3" / "state.json").write_text("{")
    found = checkpoint.newest(folder)
    assert found is not None and found.name == "step-2"
    checkpoint.point(folder, found.name)
    checkpoint.write(folder, "step-4", {}, TrainState(steps_done=4, best="best-1").state_dict())
    checkpoint.commit(folder, "step-4", "best-1")
    assert sorted(p.name for p in folder.iterdir()) == ["best-1", "last", "step-2", "step-4"]


def test_a_killed_write_leaves_the_last_checkpoint(folder):
    (folder / "step-4.tmp").mkdir()
    found = checkpoint.newest(folder)
    assert found is not None and found.name == "step-3"


def test_channels_last_tensors_can_be_written(tmp_path):
    value = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    checkpoint.write(tmp_path, "step-1", {"weights.safetensors": {"w": value}}, TrainState().state_dict())
    tensors, _ = checkpoint.read_point(tmp_path / "step-1")
    assert torch.equal(tensors["weights.safetensors"]["w"], value)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"step-99\n", b"../step-2\n", b"step-\xc2\xb2\n", b"x" * 10_000, None]
)
def test_a_damaged_pointer_gives_way_to_the_numbers(folder, content, caplog):
    (folder / "last").unlink()
    if content is not None:
        (folder / "last").write_bytes(content)
    with caplog.at_level(logging.WARNING, "mmtransfer"):
        found = checkpoint.newest(folder)
    assert found == folder / "step-3" and len(caplog.records) == 1
    checkpoint.point(folder, "step-3")
    assert checkpoint.newest(folder) == folder / "step-3"


def test_a_folder_in_the_place_of_the_pointer_stays(folder, caplog):
    (folder / "last").unlink()
    (folder / "last").mkdir()
    (folder / "last" / "mine.txt").write_text("mine")
    assert checkpoint.newest(folder) == folder / "step-3"
    checkpoint.point(folder, "step-3")
    assert (folder / "last").read_text() == "step-3\n"
    assert [path.read_text() for path in folder.glob("*/mine.txt")] == ["mine"]


def test_what_is_no_checkpoint_is_neither_read_nor_removed(folder, caplog):
    strange = ["step-x", "step-²", "step-", "best-", "notes", "step-9-mine"]
    for name in strange:
        (folder / name).mkdir()
        (folder / name / "mine.txt").write_text("mine")
    (folder / "step-8").write_text("mine")
    assert checkpoint.newest(folder) == folder / "step-3"
    checkpoint.write(folder, "step-4", {}, TrainState(steps_done=4, best="best-3").state_dict())
    checkpoint.commit(folder, "step-4", "best-3")
    assert {path.name for path in folder.iterdir()} == {*strange, "step-8", "best-3", "last", "step-3", "step-4"}
    checkpoint.remove(folder)
    assert {path.name for path in folder.iterdir()} == {*strange, "step-8"} and "stays" in caplog.text


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"../x": "0"}', '{"state.json": 3}', "[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_an_edited_checkpoint_gives_way_to_the_one_before(folder, name, content):
    (folder / "step-3" / name).write_text(content)
    assert checkpoint.newest(folder) == folder / "step-2"


def test_a_commit_after_the_one_before_was_damaged(folder):
    (folder / "step-3" / "state.json").write_text("[]")
    checkpoint.write(folder, "step-4", {}, TrainState(steps_done=4, best="best-1").state_dict())
    checkpoint.commit(folder, "step-4", "best-1")
    assert (folder / "last").read_text() == "step-4\n"


@pytest.mark.parametrize("state", [{"steps_done": "3"}, {"nobody": 1}, {"phases": [{}]}, {"best": 3}, {"cached": None}])
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises(ValueError, match=next(iter(state))):
        TrainState().load_state_dict(TrainState().state_dict() | state)
