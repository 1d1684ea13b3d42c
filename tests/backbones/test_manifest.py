"""A run's model/ is whole and its own when it is used: what is lost, cut short or exchanged is an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
import transformers

import mmtransfer as mmt
from mmtransfer.config import TEXT

Command = Callable[..., tuple[int, str, str]]
PROBE = ["--strategy", "linear-probe", "--max-length", "32", "--threads", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny texts, an encoder with weights, and a finished run on both."""
    from mmtransfer import cli

    folder = tmp_path_factory.mktemp("manifest")
    torch.manual_seed(0)
    words = tiny.text(folder)
    transformers.BertModel(transformers.BertConfig.from_pretrained(folder / "bert")).save_pretrained(folder / "bert")
    cli.main(["fit", TEXT, *words, *PROBE, "--out", str(folder / "run")])
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    shutil.copytree(place / "run", tmp_path / "run")
    return tmp_path / "run"


def swapped(path: Path) -> None:
    """Exchanges the numbers of two words of a tokenizer, so that the file keeps its size."""
    rules = json.loads(path.read_text())
    words = rules["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    path.write_text(json.dumps(rules, indent=2, ensure_ascii=False))


def flipped(path: Path) -> None:
    """Changes a byte in place, so that all links to the file have it."""
    with path.open("r+b") as file:
        file.seek(-3, 2)
        byte = file.read(1)
        file.seek(-3, 2)
        file.write(bytes([byte[0] ^ 1]))


def test_it_tells_of_every_file(place: Path) -> None:
    model = place / "run" / "model"
    files = json.loads((model / "manifest.json").read_text())["files"]
    assert files.keys() == {path.name for path in model.iterdir()} - {"manifest.json"}
    assert all(facts["size"] == (model / name).stat().st_size for name, facts in files.items())


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "backbone.safetensors", "config.json"])
def test_a_file_that_is_missing_is_an_error(command: Command, place: Path, copy: Path, name: str) -> None:
    (copy / "model" / name).unlink()
    for words in (
        ["predict", copy, place / "validation.csv"],
        ["evaluate", copy, "--test", place / "validation.csv"],
        ["embed", copy, place / "validation.csv", "--out", copy.parent / "x.npy"],
        ["fit", TEXT, "--train", place / "train.csv", "--backbone", copy, "--out", copy.parent / "on"],
    ):
        status, _, said = command(*words)
        assert status == 2 and f"The run folder is damaged: {name} is missing" in said, said


@pytest.mark.parametrize("name", ["tokenizer.json", "head.safetensors", "backbone.safetensors"])
def test_a_file_of_the_same_size_is_not_the_same_file(command: Command, place: Path, copy: Path, name: str) -> None:
    (swapped if name == "tokenizer.json" else flipped)(copy / "model" / name)
    status, _, said = command("predict", copy, place / "validation.csv")
    assert status == 2 and f"{name} is not the file that the run wrote" in said


def test_a_file_that_was_cut_short_is_told_with_its_sizes(command: Command, place: Path, copy: Path) -> None:
    path = copy / "model" / "backbone.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    status, _, said = command("predict", copy, place / "validation.csv")
    assert status == 2 and f"it has {size - 1} bytes instead of {size}" in said


@pytest.mark.parametrize("content", ["{", "[]", '{"files": null}', '{"files": {"../x": {"size": 1, "sha256": ""}}}'])
def test_a_manifest_that_is_none_is_damage(command: Command, place: Path, copy: Path, content: str) -> None:
    (copy / "model" / "manifest.json").write_text(content)
    status, _, said = command("predict", copy, place / "validation.csv")
    assert status == 2 and "The run folder is damaged: manifest.json cannot be read" in said


@pytest.mark.parametrize("missing", [None, "tokenizer.json", "tokenizer_config.json"])
def test_a_run_without_a_manifest_is_of_an_older_version(
    command: Command, place: Path, copy: Path, missing: str | None
) -> None:
    (copy / "model" / "manifest.json").unlink(missing_ok=True)
    if missing is not None:
        (copy / "model" / missing).unlink()
    status, printed, said = command("predict", copy, place / "validation.csv")
    if missing is None:
        assert (status, printed) == command("predict", place / "run", place / "validation.csv")[:2]
    else:
        assert status == 2 and f"{missing} is missing" in said


def test_a_folder_of_transformers_is_no_run(command: Command, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "bert", tmp_path / "model")
    (tmp_path / "model" / "manifest.json").write_text('{"files": {"lost": {"size": 1, "sha256": "0"}}}')
    words = ["--train", place / "train.csv", "--backbone", tmp_path / "model", *PROBE]
    assert command("fit", TEXT, *words, "--out", tmp_path / "run")[0] == 0


def test_shared_weights_are_looked_at_before_they_are_linked(command: Command, place: Path, tmp_path: Path) -> None:
    words = ["--train", place / "train.csv", "--validation", place / "validation.csv", *PROBE]
    words += ["--backbone", place / "bert"]
    assert command("fit", TEXT, *words, "--out", tmp_path / "a")[0] == 0
    before = command("predict", tmp_path / "a", place / "validation.csv")[1]
    (kept,) = (tmp_path / ".weights").iterdir()
    flipped(kept)
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "b")
    assert status == 0 and f"{kept.name} is damaged: it is written anew" in said
    assert command("predict", tmp_path / "b", place / "validation.csv")[:2] == (0, before)
    status, _, said = command("predict", tmp_path / "a", place / "validation.csv")  # shares the damaged file
    assert status == 2 and "backbone.safetensors is not the file that the run wrote" in said
    assert command("fit", TEXT, *words, "--out", tmp_path / "c")[0] == 0
    files = [tmp_path / name / "model" / "backbone.safetensors" for name in "bc"]
    assert {path.stat().st_ino for path in files} == {kept.stat().st_ino}


def test_a_run_that_is_moved_or_copied_stays_whole(place: Path, copy: Path) -> None:
    moved = copy.rename(copy.parent / "moved")
    assert mmt.load(moved).predict(["a b"])[0].scores == mmt.load(place / "run").predict(["a b"])[0].scores
