"""A run knows its data before the first step: it goes on with no others, and is not lost with a file of them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError

COMMON = {"weights": "none", "batch_size": 12, "threads": 1, "strategy": "full", "cache": "off"}


@contextmanager
def when_validated(act: Callable[[], object]) -> Iterator[None]:
    """Does something as soon as the first epoch has been validated."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "epoch 1: validation" in record.getMessage():
                act()

    logger, ear = logging.getLogger("mmtransfer"), Ear()
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(ear)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """(folder with train.csv, settings of the run in `run`, which was stopped after its first epoch)."""
    folder = tmp_path_factory.mktemp("stopped")
    given = parse(TEXT, tiny.text(folder), {}, "a test") | COMMON | {"epochs": 2, "out": str(folder / "run")}
    with when_validated(lambda: os.kill(os.getpid(), signal.SIGTERM)), pytest.raises(Interrupted):
        mmt.fit(**given)
    return folder, given


@pytest.fixture
def run(stopped: tuple[Path, dict[str, Any]], tmp_path: Path) -> Iterator[Path]:
    """A copy of the stopped run; train.csv is put back afterwards."""
    before = (stopped[0] / "train.csv").read_text()
    shutil.copytree(stopped[0] / "run", tmp_path / "run")
    yield tmp_path / "run"
    (stopped[0] / "train.csv").write_text(before)


def swapped(rows: list[str]) -> list[str]:
    return [rows[0], rows[2], rows[1], *rows[3:]]


CHANGES = {
    "train: other answers": lambda rows: [rows[0], *(row[:-1] + "yx"[row[-1] == "y"] for row in rows[1:])],
    "train: other contents": lambda rows: [rows[0], "a b c d e f g," + rows[1].split(",")[1], *rows[2:]],
    "train: 47 examples instead of 48": lambda rows: rows[:-1],
    "train: the same examples in another order": swapped,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_does_not_go_on_with_other_data(run: Path, stopped: tuple[Path, dict[str, Any]], change: str) -> None:
    table = stopped[0] / "train.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(CHANGES[change](rows)) + "\n")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(MMTransferError) as caught:
        mmt.fit(task=TEXT, resume=True, out=str(run))
    assert f"The data have changed since the run was started ({change})" in caught.value.what
    assert str(run) in caught.value.where
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before, "a refused run is left as it was"
    table.write_text("\n".join(rows) + "\n")
    assert mmt.fit(task=TEXT, resume=True, out=str(run)).result["status"] == "finished"


def test_a_checkpoint_that_does_not_know_its_data_goes_on_with_a_warning(run: Path) -> None:
    place = next((run / "checkpoints").glob("step-*"))
    state = json.loads((place / "state.json").read_text())
    state.pop("data", None)  # as version 0.1.0 wrote it
    (place / "state.json").write_text(json.dumps(state))
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["state.json"] = hashlib.blake2b((place / "state.json").read_bytes(), digest_size=16).hexdigest()
    (place / "manifest.json").write_text(json.dumps(manifest))
    settings = json.loads((run / "config.json").read_text())
    kept = {name: value for name, value in settings.items() if name not in ("duplicates", "based_on")}
    (run / "config.json").write_text(json.dumps(kept))
    with pytest.raises(MMTransferError, match="The run was started with duplicates=.warn., not drop"):
        mmt.fit(task=TEXT, resume=True, out=str(run), duplicates="drop")
    result = mmt.fit(task=TEXT, resume=True, out=str(run)).result
    assert result["status"] == "finished"
    assert any("tells nothing of its data" in line for line in result["warnings"])


def test_settings_of_a_run_with_other_data_are_told(
    run: Path, stopped: tuple[Path, dict[str, Any]], tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    def warned(name: str, *words: object) -> list[str]:
        flags = ["fit", TEXT, "--config", run / "config.json", "--epochs", 1, "--out", tmp_path / name, *words]
        status, _, said = command(*flags)
        assert status == 0, said
        result = json.loads((tmp_path / name / "result.json").read_text())
        return [line for line in result["warnings"] if "are not those of that run" in line]

    assert not warned("same")
    table = stopped[0] / "train.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(swapped(rows)) + "\n")
    assert not warned("another order")
    table.write_text("\n".join(CHANGES["train: other answers"](rows)) + "\n")
    (line,) = warned("flipped")
    assert line.startswith(f"--config {run}/config.json: the train data ({table}, 48 examples)")
    (line,) = warned("another file", "--train", stopped[0] / "validation.csv")
    assert "validation.csv, 12 examples" in line
    assert not warned("another part", "--fraction", 0.5)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    given = parse(IMAGE, tiny.images(tmp_path), {}, "a test") | COMMON | {"epochs": 1, "augment": "none"}
    return tmp_path / "images", given | {"out": str(tmp_path / "run"), "test": str(tmp_path / "images" / "test")}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_file_that_is_removed_after_the_last_step_does_not_take_the_model_with_it(
    pictures: tuple[Path, dict[str, Any]], split: str
) -> None:
    folder, given = pictures
    shutil.copytree(folder / "validation", folder / "test")
    gone = folder / split / "a" / "0.png"
    with when_validated(gone.unlink):
        if split == "train":  # nothing reads it any more
            result = mmt.fit(**given).result
            assert result["status"] == "finished" and result["data"]["train"]["n"] == 48
        else:
            with pytest.raises(MMTransferError) as caught:
                mmt.fit(**given)
            assert caught.value.what.startswith(f"No scores on {split} data") and str(gone) in caught.value.where
            assert f"mmtransfer evaluate {given['out']}" in caught.value.do
    run = mmt.load(given["out"])
    assert run.result["data"][split]["fingerprint"]
    assert run.predict(str(folder / split / "b"))[0].label in ("a", "b")
