"""What files tell is remembered while they keep their sizes and times."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtransfer.data import digests, images, stamps, table
from mmtransfer.data.reading import Reading
from mmtransfer.data.survey import Survey, survey


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """(folder of two pictures, the paths that are read from now on)."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (2, 2), name == "a" and "red" or "blue").save(tmp_path / "data" / name, "PNG")
    read: list[str] = []
    contents = digests.read_contents
    monkeypatch.setattr(digests, "read_contents", lambda file: read.append(Path(file["path"]).name) or contents(file))
    monkeypatch.setattr(stamps, "SETTLED_SECONDS", -1.0)
    return tmp_path / "data", read


def made(folder: Path, label: str = "x") -> table.Table:
    inputs = [{"path": str(folder / name), "bytes": None} for name in ("a", "b")]
    return table.make("image", "s", ["a", "b"], inputs, [label, "y"])


def surveyed(folder: Path, memory: Path, label: str = "x", max_seconds: float | None = None) -> Survey:
    return survey(made(folder, label), max_seconds, Reading(memory))


def test_files_are_read_again_only_when_something_has_changed(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, read = files
    first = surveyed(folder, tmp_path)
    assert sorted(read) == ["a", "b"] and first.faults == {}
    assert np.array_equal(first.digests, made(folder).digested().digests)
    read.clear()
    again = surveyed(folder, tmp_path)
    assert not read and np.array_equal(again.digests, first.digests) and np.array_equal(again.extents, first.extents)
    assert not np.array_equal(surveyed(folder, tmp_path, "z").digests, first.digests) and len(read) == 2
    surveyed(folder, tmp_path, max_seconds=3.0)
    assert len(read) == 4
    (folder / "a").write_bytes((folder / "b").read_bytes())
    os.utime(folder / "a", (1, 1))
    assert not np.array_equal(surveyed(folder, tmp_path).digests, first.digests)
    assert len(read) == 6


def test_what_another_version_remembers_is_not_read(
    files: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = files
    surveyed(folder, tmp_path)
    read.clear()
    monkeypatch.setattr("mmtransfer.data.survey.FORMAT", 0)
    surveyed(folder, tmp_path)
    assert sorted(read) == ["a", "b"]


def test_what_is_wrong_with_a_file_is_remembered_too(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, read = files
    (folder / "b").unlink()
    first = surveyed(folder, tmp_path)
    assert first.faults == {1: f"no such file: {folder / 'b'}"}
    read.clear()
    assert surveyed(folder, tmp_path).faults == first.faults and not read
    (folder / "b").write_bytes(b"no picture")
    assert surveyed(folder, tmp_path).faults == {1: images.fault({"path": str(folder / "b"), "bytes": None})}


def test_a_torn_memory_is_no_memory(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, read = files
    first = surveyed(folder, tmp_path)
    (kept,) = (tmp_path / "fingerprints").iterdir()
    data = kept.read_bytes()
    for torn in (data[:-1], b"", bytes([data[0] ^ 1]) + data[1:]):
        kept.write_bytes(torn)
        read.clear()
        assert np.array_equal(surveyed(folder, tmp_path).digests, first.digests)
        assert sorted(read) == ["a", "b"] and kept.read_bytes() == data
