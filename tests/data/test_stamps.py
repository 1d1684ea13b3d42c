"""Digests of files are remembered while the files keep their sizes and times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmtransfer.data import digests, stamps, table


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """(folder of two files, the paths that are read from now on)."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).write_bytes(name.encode() * 9)
    read: list[str] = []
    contents = digests.read_contents
    monkeypatch.setattr(digests, "read_contents", lambda file: read.append(Path(file["path"]).name) or contents(file))
    monkeypatch.setattr(stamps, "SETTLED_SECONDS", -1.0)
    return tmp_path / "data", read


def made(folder: Path, label: str = "x") -> table.Table:
    inputs = [{"path": str(folder / name), "bytes": None} for name in ("a", "b")]
    return table.make("image", "s", ["a", "b"], inputs, [label, "y"])


def test_files_are_read_again_only_when_something_has_changed(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, read = files
    done: list[int] = []
    first = stamps.digested(made(folder), tmp_path, done.append)
    assert sorted(read) == ["a", "b"] and sum(done) == 2
    again = stamps.digested(made(folder), tmp_path, done.append)
    assert len(read) == 2 and sum(done) == 4 and again.fingerprint == first.fingerprint
    assert stamps.digested(made(folder, "z"), tmp_path).fingerprint != first.fingerprint
    assert len(read) == 4
    (folder / "a").write_bytes(b"c" * 9)
    os.utime(folder / "a", (1, 1))
    assert stamps.digested(made(folder), tmp_path).inputs != first.inputs
    assert len(read) == 6


def test_a_torn_memory_is_no_memory(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, read = files
    first = stamps.digested(made(folder), tmp_path)
    (kept,) = (tmp_path / "fingerprints").iterdir()
    data = kept.read_bytes()
    for torn in (data[:-1], b"", bytes([data[0] ^ 1]) + data[1:]):
        kept.write_bytes(torn)
        read.clear()
        assert stamps.digested(made(folder), tmp_path).fingerprint == first.fingerprint
        assert sorted(read) == ["a", "b"] and kept.read_bytes() == data
