"""The cache folder: listing, removing, sizes, where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtransfer import documents
from mmtransfer.cache.store import INDEX, Store, default_folder, discard
from mmtransfer.data.reading import TABLES
from mmtransfer.errors import MMTransferError


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    for key, size in (("aa11", 10), ("aa22", 20), ("bb33.partial", 30)):
        store.entry(key).mkdir(parents=True)
        (store.entry(key) / "00000.safetensors").write_bytes(b"x" * size)
    documents.write(store.entry("aa11") / INDEX, {"split": "train"})
    return store


def test_entries_are_listed_with_what_became_of_them(store):
    found = {entry["key"]: entry for entry in store.listing()}
    assert {key: entry["state"] for key, entry in found.items()} == {
        "aa11": "ready",
        "aa22": "damaged",
        "bb33": "unfinished",
    }
    assert found["aa11"]["split"] == "train" and found["aa22"]["bytes"] == 20


def test_entries_are_removed_by_the_beginning_of_their_key(store):
    before = store.bytes()
    freed = store.remove(["aa1", "bb"])
    assert freed == before - 20 and store.bytes() == 20
    assert store.remove([]) == 20 and store.listing() == []


def test_unpacked_tables_count_and_go_as_features_do(store):
    before, table = store.bytes(), store.root / TABLES / "cc44"
    table.mkdir(parents=True)
    documents.write(table / INDEX, {"task": "a.parquet", "rows": 3})
    size = (table / INDEX).stat().st_size
    assert store.bytes() == before + size
    entry = {entry["key"]: entry for entry in store.listing()}["cc44"]
    assert (entry["state"], entry["task"], entry["rows"]) == ("ready", "a.parquet", 3)
    assert store.remove(["cc"]) == size and not table.exists()


def test_an_unknown_key_names_those_that_are_there(store):
    with pytest.raises(MMTransferError, match=r"Unknown key 'zz'(.|\n)*known: aa11"):
        store.remove(["zz"])


def test_an_empty_cache_is_no_error(tmp_path):
    store = Store(tmp_path / "none" / "none")
    assert store.listing() == [] and store.bytes() == 0 and store.free() > 0
    discard(store.entry("x"))


def test_the_default_folder(monkeypatch):
    monkeypatch.setenv("MMTRANSFER_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("MMTRANSFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_folder() == Path("/xdg/mmtransfer")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "mmtransfer"
