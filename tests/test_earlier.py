"""Run folders that earlier versions wrote (earlier/VERSION.tar.xz, made by earlier/make.py) stay runs."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mmtransfer as mmt

ARCHIVES = sorted((Path(__file__).parent / "earlier").glob("*.tar.xz"))
TASKS = ("image", "text", "speech")


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def earlier(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The runs of a version, unpacked into the current folder, and by task what it said of them."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return dict(json.loads((tmp_path / "expected.json").read_text()))


def test_there_are_earlier_versions() -> None:
    assert [path.name for path in ARCHIVES][0] == "0.1.0.tar.xz"


@pytest.mark.parametrize("name", TASKS)
def test_it_predicts_evaluates_and_embeds_as_it_did(earlier: dict[str, Any], name: str) -> None:
    known, run = earlier[name], mmt.load(f"runs/{name}-0")
    answers = {prediction.id: prediction for prediction in run.predict(known["inputs"])}
    assert len(answers) == len(known["predictions"])
    for key, label, score in known["predictions"]:
        assert answers[key].label == label
        assert answers[key].score == pytest.approx(score, abs=1e-4)
    found = run.evaluate(known["test"])
    assert {key: found[key].value for key in known["scores"]} == pytest.approx(known["scores"], abs=1e-6)
    assert len(run.embed(known["inputs"]).ids) == len(answers)
    assert run.config.task in repr(run) and "<table>" in run._repr_html_()
    split = run.result["primary"]["split"]
    frame = run.to_frame(split)
    assert len(frame) == len(run.folder.read_predictions(split)["id"]) and len(run.history) >= 0
    if name != "speech":
        assert run.confusion.to_numpy().trace() == sum(frame["target"] == frame["prediction"])


@pytest.mark.parametrize("name", TASKS)
def test_two_of_them_are_compared(
    earlier: dict[str, Any], name: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    status, printed, said = command("compare", f"runs/{name}-0", f"runs/{name}-1")
    assert status == 0, said
    assert {"image": "accuracy", "text": "accuracy", "speech": "wer"}[name] in printed


@pytest.mark.parametrize("name", TASKS)
def test_it_has_a_page(earlier: dict[str, Any], name: str, command: Callable[..., tuple[int, str, str]]) -> None:
    status, printed, said = command("report", f"runs/{name}-0", "--out", "page.html", "--quick")
    assert (status, printed) == (0, "the page is page.html\n"), said
    page = Path("page.html").read_text()
    assert "with 95 % confidence" in page and 'id="examples"' in page and 'id="settings"' in page


def test_its_checkpoint_is_refused_with_both_versions(
    earlier: dict[str, Any], command: Callable[..., tuple[int, str, str]]
) -> None:
    before = {path: path.read_bytes() for path in Path("runs/text-stopped").rglob("*") if path.is_file()}
    status, _, said = command("fit", "text-classification", "--resume", "--out", "runs/text-stopped")
    assert status == 2 and f"is of mmtransfer 0.1.0, this is {mmt.__version__}" in said
    assert "--config runs/text-stopped/config.json" in said
    assert all(path.read_bytes() == content for path, content in before.items())


def test_its_settings_make_a_new_run(earlier: dict[str, Any], command: Callable[..., tuple[int, str, str]]) -> None:
    words = ["--config", "runs/text-0/config.json", "--out", "runs/again"]
    status, _, said = command("fit", "text-classification", *words)
    assert status == 0, said
    again, before = (mmt.load(f"runs/{name}").result for name in ("again", "text-0"))
    assert again["data"]["test"]["fingerprint"] == before["data"]["test"]["fingerprint"]
    assert again["metrics"]["test"]["accuracy"]["value"] == before["metrics"]["test"]["accuracy"]["value"]
