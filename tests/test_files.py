"""Files are there whole or not at all, and nothing half-written stays."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest
import torch
from safetensors.torch import load_file

from mmtransfer import files


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_only_when_all_is_written(tmp_path, shared):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="halfway"), files.replacing(path, shared) as place:
        place.write_text("half")
        assert place.parent == tmp_path and (str(os.getpid()) in place.name) == shared
        raise ValueError("halfway")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]
    files.write_text(path, "new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


def test_a_file_is_synced_before_it_takes_its_name_and_the_name_after(tmp_path, monkeypatch):
    path, events = tmp_path / "a", []
    monkeypatch.setattr(files, "sync", lambda synced: events.append((synced.name, path.exists())))
    files.write_bytes(path, b"x")
    assert events == [("a.tmp", False), (tmp_path.name, True)]


def test_a_file_system_that_syncs_no_folders_is_no_reason_to_stop(tmp_path, monkeypatch):
    real = os.fsync

    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.stat(-1))
    with pytest.raises(OSError):
        files.write_text(tmp_path / "a", "y")
    assert (tmp_path / "a").read_text() == "x" and os.listdir(tmp_path) == ["a"]


def test_a_file_that_other_names_share_keeps_its_content_under_those(tmp_path):
    """Weights of runs are hard links."""
    one, other = tmp_path / "one", tmp_path / "other"
    files.write_tensors(one, {"x": torch.zeros(2)}, {"format": "pt"})
    os.link(one, other)
    files.write_tensors(one, {"x": torch.ones(2)}, {"format": "pt"})
    assert load_file(one)["x"].tolist() == [1, 1] and load_file(other)["x"].tolist() == [0, 0]


def test_digests_are_those_of_hashlib(tmp_path):
    files.write_bytes(tmp_path / "a", b"abc")
    assert files.digest(tmp_path / "a") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert files.digest(tmp_path / "a", "sha256") == hashlib.sha256(b"abc").hexdigest()


def test_files_links_and_folders_are_removed(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "link", "none"):
        files.remove(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]
