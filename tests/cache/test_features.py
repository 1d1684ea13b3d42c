"""Shards: what was written is read; killed, doubled and damaged builds never give wrong states."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from mmtransfer.cache import features
from mmtransfer.cache.features import Damaged
from mmtransfer.cache.store import INDEX, Store
from mmtransfer.files import PARTIAL

SCRIPT = Path(__file__).parent / "pieces.py"
_spec = spec_from_file_location("pieces_of_cache", SCRIPT)
pieces = module_from_spec(_spec)
_spec.loader.exec_module(pieces)
KEY, COUNT = "abc", len(pieces.LENGTHS)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def built(store):
    list(pieces.build(store, KEY))
    return store.entry(KEY)


def assert_right(found: features.Features) -> None:
    indices = list(range(COUNT))
    random.Random(0).shuffle(indices)
    state = found.state(indices[:7])
    assert state["lengths"].tolist() == [int(pieces.LENGTHS[number]) for number in indices[:7]]
    assert state["x"].shape[1] == max(state["lengths"].tolist())
    for place, number in enumerate(indices[:7]):
        length = int(pieces.LENGTHS[number])
        assert torch.equal(state["x"][place, :length], pieces.row(number))
        assert not state["x"][place, length:].any()


@pytest.mark.parametrize("memory", [0, 10**9], ids=["mapped", "resident"])
def test_what_was_written_is_read(built, memory):
    found = features.open_states(built, 2, COUNT, memory)
    assert found.cut == 2 and len(found) == COUNT and len(list(built.glob("*.safetensors"))) > 3
    assert len(found.parts) == (1 if memory else len(list(built.glob("*.safetensors"))))
    assert_right(found)


@pytest.mark.parametrize("memory", [0, 10**9], ids=["mapped", "resident"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_of_one_size(store, memory, dtype):
    x = torch.randn(20, 4).to(dtype)
    order = np.random.default_rng(0).permutation(20).astype(np.int32)
    groups = features.shards([order[:9], order[9:15], order[15:]], np.full(20, 8.0), 40)
    store.features.mkdir(parents=True)
    folder = store.features / "x"
    folder.mkdir()
    list(features.build(folder, store.entry("y"), groups, {}, lambda b: ((one, {"x": x[one]}) for one in b), {}))
    found = features.open_states(store.entry("y"), 3, 20, memory)
    assert torch.equal(found.matrix(), x) and found.matrix().dtype == dtype
    assert torch.equal(found.state([3, 17, 3])["x"], x[[3, 17, 3]])


def test_features_collected_in_memory_are_those_of_a_build(built):
    order = np.arange(COUNT, dtype=np.int32)
    assert_right(features.collect(2, COUNT, pieces.passed([order[:30], order[30:]], 0.0)))


@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_build_goes_on_to_the_same_bytes(store, built, kills):
    other = Store(store.root.parent / "killed")
    for number in range(kills):
        command = [sys.executable, str(SCRIPT), str(other.root), KEY, "0.02"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(2 + 2 * number):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not other.has(KEY) and list((other.features / f"{KEY}{PARTIAL}").glob("*.safetensors"))
    first = next(pieces.build(other, KEY))
    assert first > 0, "nothing of the killed build was used"
    list(pieces.build(other, KEY))
    for path in built.iterdir():
        assert path.read_bytes() == (other.entry(KEY) / path.name).read_bytes()


def test_the_index_holds_the_digests_of_the_bytes_and_the_shards_are_read_once(store, monkeypatch):
    read, digest = [], features._digest
    monkeypatch.setattr(features, "_digest", lambda path: read.append(path.name) or digest(path))
    list(pieces.build(store, KEY))
    assert not read, "what has just been written is not read back"
    shards = json.loads((store.entry(KEY) / INDEX).read_text())["shards"]
    for name, known in shards.items():
        content = (store.entry(KEY) / name).read_bytes()
        assert hashlib.blake2b(content, digest_size=16).hexdigest() == known
    features.open_states(store.entry(KEY), 2, COUNT, 0)
    assert sorted(read) == sorted(shards) and len(shards) > 3


def test_an_entry_of_an_older_format_is_listed_and_removed(store, built):
    index = json.loads((built / INDEX).read_text())
    (built / INDEX).write_text(json.dumps(index | {"format": 1, "task": "text-classification"}))
    with pytest.raises(Damaged, match="its format is 1"):
        features.open_states(built, 2, COUNT, 0)
    (entry,) = store.listing()
    assert (entry["key"], entry["state"], entry["task"]) == (KEY, "ready", "text-classification")
    assert store.remove([KEY]) > 0 and not store.listing()


def test_a_build_under_another_plan_starts_again(store):
    building = pieces.build(store, KEY)
    assert [next(building), next(building)][0] == 0
    building.close()
    plan = store.features / f"{KEY}{PARTIAL}" / features.PLAN
    plan.write_text(json.dumps({"plan": {"budget": 1}}))
    assert next(pieces.build(store, KEY)) == 0


def test_a_damaged_shard_of_a_killed_build_is_computed_again(store):
    building = pieces.build(store, KEY)
    rows = [next(building) for _ in range(3)]
    building.close()
    shard = store.features / f"{KEY}{PARTIAL}" / "00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-8])
    assert next(pieces.build(store, KEY)) == rows[2] - rows[1]
    list(pieces.build(store, KEY))
    assert_right(features.open_states(store.entry(KEY), 2, COUNT, 0))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cut", "00001.safetensors is not what was written"),
        ("flip", "00001.safetensors is not what was written"),
        ("gone", "00001.safetensors is not what was written"),
        ("other", "a shard cannot be read"),
        ("digest", "00001.safetensors is not what was written"),
        ("format", "its format is 99"),
        ("foreign", "its index cannot be read"),
        ("rows", "rows for"),
    ],
)
def test_damage_is_found_when_an_entry_is_opened(built, damage, words):
    shard, index = built / "00001.safetensors", built / INDEX
    data, known = bytearray(shard.read_bytes()), json.loads(index.read_text())
    if damage == "cut":
        shard.write_bytes(data[:-4])
    elif damage == "flip":
        data[-40] ^= 1
        shard.write_bytes(data)
    elif damage == "gone":
        shard.unlink()
    elif damage == "other":
        shard.write_bytes(b"whole, but no shard")
        known["shards"][shard.name] = features._digest(shard)
        index.write_text(json.dumps(known))
    elif damage == "foreign":
        index.write_text("[1, 2]")
    else:
        known["shards"]["00001.safetensors"] = "0" if damage == "digest" else known["shards"]["00001.safetensors"]
        known["format"] = 99 if damage == "format" else known["format"]
        index.write_text(json.dumps(known))
    with pytest.raises(Damaged, match=words):
        features.open_states(built, 2, COUNT + (damage == "rows"), 0)


def test_two_builders_at_once_build_once(store):
    stepped = pieces.build(store, KEY, 0.0)
    next(stepped)
    command = [sys.executable, str(SCRIPT), str(store.root), KEY, "0"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    waiting = threading.Timer(30, other.kill)
    waiting.start()
    list(stepped)
    assert other.wait() == 0 and other.stdout.read() == "", "the second builder did the work again"
    waiting.cancel()
    assert_right(features.open_states(store.entry(KEY), 2, COUNT, 0))


def test_without_locks_the_first_rename_wins(store, monkeypatch):
    def none(descriptor: int) -> bool:
        raise OSError("no locks here")

    monkeypatch.setattr("mmtransfer.files._lock", none)
    one = pieces.build(store, KEY)
    next(one)
    monkeypatch.setattr("os.getpid", lambda: 1)
    list(pieces.build(store, KEY))
    list(one)
    assert_right(features.open_states(store.entry(KEY), 2, COUNT, 0))
    assert [folder.name for folder in store.features.iterdir()] == [KEY]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list what is mapped")
def test_what_was_read_into_memory_is_no_longer_mapped(built):
    mapped = features.open_states(built, 2, COUNT, 0)
    assert str(built) in Path("/proc/self/maps").read_text()
    del mapped
    resident = features.open_states(built, 2, COUNT, 10**9)
    assert str(built) not in Path("/proc/self/maps").read_text()
    assert_right(resident)


def test_a_matrix_is_made_of_shards_that_were_removed_since(store):
    x = torch.randn(20, 4)
    groups = features.shards([np.arange(9), np.arange(9, 20)], np.full(20, 16.0), 100)
    folder = store.features / "x"
    folder.mkdir(parents=True)
    list(features.build(folder, store.entry("y"), groups, {}, lambda b: ((one, {"x": x[one]}) for one in b), {}))
    found = features.open_states(store.entry("y"), 3, 20, 0)
    store.remove([])
    assert torch.equal(found.matrix(), x)
