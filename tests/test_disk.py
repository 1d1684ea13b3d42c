"""What a disk refuses is one error that names the file, before training where it can be; a run goes on later."""

from __future__ import annotations

import logging
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError

FULL = "files may not be so large here"
"""What a disk is made to say; a full one says so in the same way."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = parse(TEXT, [*tiny.text(folder), "--weights", "none"], {}, "a test")
    letters = [chr(97 + number) for number in range(26)]
    rows = [f"{' '.join(four)},{'xy'[place % 2]}" for place, four in enumerate(permutations(letters[:8], 4))]
    (folder / "test.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    whole = {"test": str(folder / "test.csv"), "micro_batch_tokens": 4096}
    return {**made, **whole, "strategy": "linear-probe", "threads": 1}


@contextmanager
def largest(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """A run with room for all."""
    return mmt.fit(**given, cache="off", out=tmp_path_factory.mktemp("runs") / "run").folder.path


@pytest.mark.parametrize(
    "name", ["environment.json", "config.json", "model/backbone.safetensors", "predictions/test.parquet"]
)
def test_a_full_disk_is_told_by_the_file_and_the_run_goes_on(given, whole, tmp_path, name):
    """In the order in which they are written, each is larger than those before."""
    out = tmp_path / "run"
    with largest((whole / name).stat().st_size - 100), pytest.raises(MMTransferError) as error:
        mmt.fit(**given, cache="off", out=out)
    assert error.value.what == f"Cannot write {Path(name).name}: {FULL}", error.value
    assert error.value.where == str(out / name) and "--resume" in error.value.do
    assert not (out / "lock.json").exists()
    if "/" in name:
        done = mmt.fit(out=out, resume=True, task=TEXT)
        assert done.metrics == mmt.load(whole).metrics and done.predict(["a b"]) == mmt.load(whole).predict(["a b"])
        assert not list(out.rglob("*.tmp"))


def test_a_head_that_trains_is_told_of_its_checkpoint(given, tmp_path):
    trained = {**given, "strategy": "full", "epochs": 2, "batch_size": 24, "cache": "off", "checkpoint_minutes": 0}
    with largest(20_000), pytest.raises(MMTransferError, match=f"weights.safetensors: {FULL}") as error:
        mmt.fit(**trained, out=tmp_path / "run")
    assert "checkpoints" in error.value.where and not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_cache_without_room_costs_no_run_and_leaves_nothing_torn(given, whole, tmp_path, caplog):
    trained = {**given, "cache": "on", "cache_dir": str(tmp_path / "cache")}
    size = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    with largest(size + 100), caplog.at_level("WARNING", "mmtransfer"):
        done = mmt.fit(**trained, out=tmp_path / "run")
    assert "test: features are not cached: " in caplog.text and "File too large" in caplog.text
    assert done.metrics == mmt.load(whole).metrics
    assert not list((tmp_path / "cache").rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("file/run", "is a file, so it has no folders"),
        ("file", "That is a file"),
        ("n" * 300, "The name is too long: a file system takes 255 bytes"),
        ("new/" + "n" * 300, "The name is too long"),
        ("/".join(["long"] * 900), "The name is too long"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_anything_is_read(given, tmp_path, command, name, what):
    (tmp_path / "file").write_text("mine")
    words = ["--train", tmp_path / "file", "--backbone", "no/backbone"]  # neither could be read
    for more in ([], ["--repeats", "2"]):
        status, _, said = command("fit", TEXT, *words, "--out", tmp_path / name, *more)
        assert status == 2 and what in said and f"where: --out {tmp_path / name}" in said, said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_place_is_told_before_anything_is_read(given, tmp_path, command, monkeypatch):
    place = tmp_path / "shut"
    place.mkdir()
    real = os.access  # the administrator may write into any folder, but not on a disk that is mounted read-only
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place and real(path, mode))
    (tmp_path / "no-data.csv").write_text("mine")
    status, _, said = command("fit", TEXT, "--train", tmp_path / "no-data.csv", "--out", place / "a" / "run")
    assert status == 2 and f"{place} cannot be written" in said and not list(place.iterdir())


def test_a_folder_that_is_removed_while_it_is_written_is_told(given, tmp_path):
    class Removing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "epoch 1" in record.getMessage():
                shutil.rmtree(tmp_path / "run")

    handler = Removing()
    logging.getLogger("mmtransfer").addHandler(handler)
    logging.getLogger("mmtransfer").setLevel(logging.INFO)
    trained = {**given, "strategy": "full", "epochs": 2, "batch_size": 24, "cache": "off"}
    with pytest.raises(MMTransferError, match="its folder is gone") as error:
        mmt.fit(**trained, out=tmp_path / "run")
    assert str(tmp_path / "run") in error.value.where and not (tmp_path / "run").exists()


def test_predictions_that_cannot_be_written_are_told(given, whole, command, tmp_path):
    with largest(2000):
        status, _, said = command("predict", whole, given["test"], "--out", tmp_path / "answers.csv")
    assert status == 2 and f"Cannot write answers.csv: {FULL}" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())
