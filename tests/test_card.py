"""The model card that every run leaves, and what goes to the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import run_folders
from huggingface_hub import ModelCard

import mmtransfer as mmt
from mmtransfer import card, hub
from mmtransfer.config import SPEECH
from mmtransfer.errors import MMTransferError
from mmtransfer.report.evidence import gather

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that `fit` has made."""
    return mmt.fit(**settings, out=tmp_path_factory.mktemp("runs") / "a").folder.path


def test_every_run_leaves_a_card_that_the_hub_reads(run):
    read = ModelCard.load(run / "README.md").data
    score = mmt.load(run).result["metrics"]["test"]["accuracy"]
    assert (read.pipeline_tag, read.library_name) == ("text-classification", "mmtransfer")
    first = read.eval_results[0]
    assert (first.metric_type, first.metric_value) == ("accuracy", score["value"])
    assert first.metric_args == {"confidence": 0.95, "low": score["low"], "high": score["high"], "n": score["n"]}
    assert first.dataset_revision == mmt.load(run).result["data"]["test"]["fingerprint"]
    text = (run / "README.md").read_text()
    for heading in ("## Use", "## What it gets wrong", "## How it was trained"):
        assert heading in text
    assert f'run = mmt.load("{run}")' in text and "test data" in text


def test_speech_is_called_as_the_hub_calls_it(tmp_path):
    evidence = gather(run_folders.heard(tmp_path))
    assert evidence.task == SPEECH and "pipeline_tag: automatic-speech-recognition" in card.front_matter(evidence)
    assert "- `two` taken for `too`: 8 times of 8" in card.card(evidence)


@pytest.mark.parametrize("name", ["</script><b>x", "a|b*c_[d](http://e)", "`code` \x1b[31m"])
def test_names_of_classes_are_no_marks_of_markdown(tmp_path, name):
    run = run_folders.texts(tmp_path, [name, "other"])
    body = card.card(gather(run)).split("---\n", 2)[2]
    told = body.split("## What it gets wrong")[1].split("## How")[0]
    plain = [line for line in told.splitlines() if line.startswith("- ")]
    assert plain and all(line.count("`") % 2 == 0 for line in plain) and "\x1b" not in body
    assert "<b>" not in "".join(told.split("`")[::2])


def test_a_card_that_cannot_be_written_costs_the_run_nothing(run, monkeypatch, caplog):
    monkeypatch.setattr(card, "gather", lambda path: 1 / 0)
    card.write(mmt.load(run).folder)
    assert "the model card README.md could not be written" in caplog.text


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub that takes everything, and what it has been given."""
    taken: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str) -> None:
            taken["token"] = token

        def create_repo(self, name: str, private: bool, exist_ok: bool) -> str:
            taken.update(name=name, private=private)
            return f"https://hub/{name}"

        def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
            if taken.get("full"):
                raise OSError("no\nroom")
            files = [path for path in Path(folder_path).rglob("*") if path.is_file()]
            taken["files"] = {str(path.relative_to(folder_path)): path.read_bytes() for path in files}

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.setattr(hub, "reachable", lambda: True)
    return taken


def test_model_and_card_go_to_the_hub_and_open_there(run, online, tmp_path, command: Command):
    status, printed, said = command("push", run, "org/name")
    assert status == 0 and printed == "uploaded: https://hub/org/name\n", said
    assert (online["name"], online["private"], online["token"]) == ("org/name", True, "secret")
    files = online["files"]
    assert {"README.md", "config.json", "result.json", "model/head.safetensors"} <= set(files)
    assert not any("predictions" in name or "log" in name for name in files)
    for name, content in files.items():
        place = tmp_path / "there" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        assert str(run.parent).encode() not in content and b"secret" not in content, name
    there, here = mmt.load(tmp_path / "there"), mmt.load(run)
    texts = ["a b c", "d e"]
    assert [one.scores for one in there.predict(texts)] == [one.scores for one in here.predict(texts)]
    assert 'snapshot_download("org/name")' in files["README.md"].decode()
    assert [path.name for path in run.parent.iterdir() if path.name.startswith(".push")] == []
    assert mmt.load(run).model is not None  # its own files are untouched


def test_what_keeps_a_run_from_the_hub_is_one_line(run, online, monkeypatch, command: Command):
    def refused(*words: object) -> str:
        status, printed, said = command("push", *words)
        assert (status, printed, len(said.strip().splitlines())) == (2, "", 3), said
        return said

    assert "The hub does not take this name" in refused(run, "a name")
    assert "The hub does not take this name" in refused(run, "name")
    online["full"] = True
    assert "The hub has not taken it: no room" in refused(run, "org/name")
    monkeypatch.setattr(hub, "reachable", lambda: False)
    assert "The hub cannot be reached" in refused(run, "org/name")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert "There is no token for the hub" in refused(run, "org/name") and "hf auth login" in refused(run, "org/name")
    assert "Not a run folder" in refused(run.parent, "org/name")


def test_a_run_that_has_not_finished_is_not_pushed(tmp_path, online):
    run = run_folders.texts(tmp_path, ["a", "b"])
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "status": "stopped"}))
    with pytest.raises(MMTransferError, match="The run has not finished"):
        mmt.push(run, "org/name")
