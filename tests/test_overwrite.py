"""`--overwrite` replaces a run and nothing else: what lies beside it, and what the new run needs, is never removed."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer import fitting
from mmtransfer.cli.flags import parse
from mmtransfer.comparison import compare
from mmtransfer.config import IMAGE, SPEECH
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    """A run with all that a run can leave behind."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return mmt.fit(**settings, out=out, keep_checkpoints=True, track=("tensorboard",)).folder.path


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(settings, out: Path, **changes: object) -> MMTransferError:
    """The error of a run that would overwrite `out`, where nothing has changed."""
    before = contents(out)
    with pytest.raises(MMTransferError) as error:
        mmt.fit(**{**settings, **changes}, out=out, overwrite=True)
    assert contents(out) == before
    return error.value


@pytest.mark.parametrize(
    "name",
    ["thesis.txt", "config.json.bak", "model/thesis.txt", "predictions/mine.parquet", "checkpoints/step-1/notes.txt"]
    + ["checkpoints/notes/a.txt", "checkpoints/step-mine/a.txt", "tensorflow/a.txt"]
    + ["tensorboard/thesis.txt", "tensorboard/deep/a.txt", "wandb/thesis.txt"],
)
def test_a_folder_with_a_strangers_file_is_refused_by_its_name(settings, run, name):
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("mine")
    error = refused(settings, run)
    assert "belongs to no run" in error.what and name.split("/")[0] in error.what and "--out" in error.where
    assert mmt.load(run).metrics


def test_a_folder_of_somebody_elses_with_a_configuration_is_no_run(settings, tmp_path):
    """transformers' folders have a config.json as well."""
    backbone = Path(shutil.copytree(settings["backbone"], tmp_path / "model"))
    (backbone / "thesis.txt").write_text("mine")
    assert refused(settings, backbone).what == "Not a run folder, so it is not overwritten"
    shutil.copytree(settings["backbone"], tmp_path / "other")
    (tmp_path / "other" / "result.json").write_text('{"program": "another", "schema": 1}')
    assert refused(settings, tmp_path / "other").what == "Not a run folder, so it is not overwritten"


@pytest.mark.parametrize("name", ["train", "validation", "test", "backbone", "weights"])
def test_a_folder_with_what_the_new_run_needs_is_refused(settings, run, name):
    value = run if name == "backbone" else run / "model" / "backbone.safetensors"
    error = refused(settings, run, **{name: str(value)})
    assert error.what == f"--{name} {value} lies in the folder that --overwrite would empty"
    (run.parent / "link").symlink_to(value)
    assert f"--{name} " in refused(settings, run, **{name: str(run.parent / "link")}).what


def test_links_to_folders_are_not_followed(settings, run, tmp_path):
    shutil.move(run / "model", tmp_path / "elsewhere")
    (run / "model").symlink_to(tmp_path / "elsewhere")
    refused(settings, run)
    assert (tmp_path / "elsewhere" / "head.safetensors").exists()


def test_all_that_is_a_runs_is_removed(settings, run, finished):
    (run / "wandb" / "run-1").mkdir(parents=True)
    (run / "wandb" / "run-1" / "any.thing").write_text("1")
    (run / "result.json.tmp").write_text("{")
    again = mmt.fit(**settings, out=run, overwrite=True, seed=1)
    assert again.result["seed"] == 1 and mmt.load(finished).result["seed"] == 0
    there = {path.name for path in run.iterdir()}
    assert there == {"config.json", "environment.json", "result.json", "log.jsonl", "model", "predictions", "README.md"}


@pytest.mark.parametrize("task", [IMAGE, SPEECH])
def test_runs_of_all_tasks_hold_nothing_but_files_of_a_run(task, tmp_path):
    maker = {IMAGE: tiny.images, SPEECH: tiny.speech}[task]
    made = {**parse(task, [*maker(tmp_path), "--weights", "none"], {}, "a test"), **tiny.QUICK}
    for strategy in ("linear-probe", "full"):
        mmt.fit(**made, strategy=strategy, out=tmp_path / "run", overwrite=True)
    assert mmt.load(tmp_path / "run").config.strategy == "full"


def age(run: Path) -> None:
    """As version 0.1.0 wrote it."""
    for name in ("result.json", "environment.json"):
        content = json.loads((run / name).read_text())
        assert content.pop("program") == "mmtransfer" and content.pop("schema") >= 2
        if name == "result.json":
            content = {"schema": 1, **content}
        (run / name).write_text(json.dumps(content))


@pytest.mark.parametrize("left", ["result.json", "environment.json"])
def test_an_old_run_can_be_used_and_overwritten(settings, run, finished, left):
    predictions = mmt.load(finished).predict(["a b c"])
    age(run)
    assert mmt.load(run).predict(["a b c"]) == predictions
    other = mmt.fit(**settings, lr=1e-2, out=run.parent / "other")
    assert len(compare([run, other.folder.path]).entries) == 2
    (run / "config.tmp").write_text("{")
    (run / ({"result.json", "environment.json"} - {left}).pop()).unlink()
    assert mmt.fit(**settings, out=run, overwrite=True, seed=1).result["seed"] == 1


def test_what_was_killed_before_its_first_file_is_begun_again(settings, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock.json").write_text(
        json.dumps({"program": "mmtransfer", "schema": 1, "pid": 2**30, "host": "x", "start": "", "began": None})
    )
    with pytest.raises(MMTransferError, match="Another run is at work"):  # of another machine, and young
        mmt.fit(**settings, out=tmp_path / "run")


def test_repeated_runs_are_overwritten_only_if_there_is_nothing_else(settings, tmp_path):
    out = tmp_path / "all"
    mmt.repeat(n=2, **settings, out=out)
    for name in ("seed-notes", "seed-0/mine.txt", "notes.txt", "seed-2/mine.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        before = contents(out)
        with pytest.raises(MMTransferError, match="not overwritten"):
            mmt.repeat(n=2, **settings, out=out, overwrite=True)
        assert contents(out) == before
        (out / name).unlink()
    inside = str(out / "seed-1" / "model" / "backbone.safetensors")
    with pytest.raises(MMTransferError, match="lies in the folder"):
        mmt.repeat(n=2, **{**settings, "weights": inside}, out=out, overwrite=True)
    assert mmt.repeat(n=1, **settings, out=out, overwrite=True).seeds == [0]


def test_a_folder_with_the_name_of_a_runs_file_is_not_looked_past(settings, run):
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints" / "last").mkdir(parents=True)
    (run / "checkpoints" / "last" / "thesis.txt").write_text("mine")
    assert "checkpoints/last/" in refused(settings, run).what


@pytest.mark.parametrize("left", [["lock.json.tmp"], ["environment.json.tmp"], ["environment.json", "config.json.tmp"]])
def test_what_a_run_leaves_that_is_killed_before_it_began_is_in_nobodys_way(settings, run, tmp_path, left):
    out = tmp_path / "again"
    out.mkdir()
    for name in left:
        shutil.copy(run / name, out / name) if (run / name).exists() else (out / name).write_text("{")
    assert mmt.fit(**settings, out=out).result["status"] == "finished"
    assert not list(out.rglob("*.tmp"))


def test_a_run_that_began_meanwhile_is_not_emptied(settings, finished, tmp_path, monkeypatch):
    """Two commands with one --out that is not there yet: the second has prepared its data, the first is at work."""
    out, prepare = tmp_path / "run", fitting.prepare

    def slowly(*given):
        made = prepare(*given)
        shutil.copytree(finished, out)
        other = {"program": "mmtransfer", "schema": 1, "pid": os.getppid(), "host": socket.gethostname()}
        (out / "lock.json").write_text(json.dumps({**other, "start": "now", "began": None}))
        return made

    monkeypatch.setattr(fitting, "prepare", slowly)
    with pytest.raises(MMTransferError, match="Another run is at work in the folder"):
        mmt.fit(**settings, out=out, overwrite=True)
    (out / "lock.json").unlink()
    assert contents(out) == contents(finished)
