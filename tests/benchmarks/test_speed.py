"""The page of speed beside the peers, what is written of it, and that all contestants are scored alike."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import torchvision
from PIL import Image

import mmtransfer as mmt
from benchmarks.speed import __main__ as speed
from benchmarks.speed import cases, ours, peers
from benchmarks.speed.cases import Case
from benchmarks.speed.pace import Pace
from mmtransfer.engine import evaluation, precision

NAN = float("nan")


def epoch(metric: float | None) -> dict[str, Any]:
    return {"startup": 4.0, "seconds": 10.0, "examples": 500, "metric": metric}


RESULT: dict[str, Any] = {
    "about": "MiniLM, few rows",
    "metric": "accuracy",
    "steps": 5,
    "peak": {"fp32": 2e9, "bf16": 1e10},
    "contestants": {
        "ours": {"rounds": [100.0, 120.0, 90.0], "operations": 1e7, "peak_bytes": 2**30, "epoch": epoch(0.75)},
        "rounds alone": {"rounds": [50.0]},
        "without a score": {"rounds": [25.0], "epoch": epoch(None)},
        "no number": {"rounds": [20.0], "epoch": epoch(NAN)},
        "an epoch alone": {"rounds": [], "epoch": epoch(0.5)},
        "broken": {"rounds": [], "failed": "ValueError: no such thing"},
    },
    "versions": {"torch": "2.0"},
}
ROWS = """\
| | examples/s, median | rounds | ours over it | share of the peak | an epoch: start-up + training, s | accuracy \
| peak memory, MB |
|---|---|---|---|---|---|---|---|
| ours | 100.0 | 90.0 to 120.0 | 1.00 | 10 % | 4 + 10 | 0.750 | 1024 |
| rounds alone | 50.0 | 50.0 to 50.0 | 2.00 | 5 % |  |  | 0 |
| without a score | 25.0 | 25.0 to 25.0 | 4.00 | 2 % | 4 + 10 |  | 0 |
| no number | 20.0 | 20.0 to 20.0 | 5.00 | 2 % | 4 + 10 |  | 0 |
| an epoch alone | 50.0 | 50.0 to 50.0 | 2.00 | 5 % | 4 + 10 | 0.500 | 0 |
| broken | ValueError: no such thing | | | | | | |"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results of a machine are written; nothing is measured."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(speed, "HERE", tmp_path)
    monkeypatch.setattr(speed, "device", lambda: "cpu2-bf16")
    monkeypatch.setattr(speed, "peak", lambda: {"fp32": 1e9})
    monkeypatch.setattr(speed, "rounds", lambda *_: {"ours": {"rounds": [5.0]}})
    monkeypatch.setattr(speed, "epochs", lambda _: {"ours": epoch(NAN)})
    monkeypatch.setattr(
        speed, "CASES", {"text": lambda *_: Case("text", "MiniLM", {"ours": lambda _: None}, 5, "accuracy")}
    )
    return tmp_path / "results" / "speed-cpu2-bf16.json"


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_row_tells_what_is_known_of_a_contestant() -> None:
    assert "\n".join(speed.table(RESULT)) == ROWS


def test_the_page_has_the_table_and_why_rounds_on_a_cpu_are_short(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "draw", lambda *_: None)
    place.write_text(json.dumps({"text": RESULT}))
    speed.render()
    page = (place.parents[1] / "speed.md").read_text()
    assert ROWS in page and "MiniLM, few rows; rounds of 5 steps; torch 2.0." in page
    assert "60 steps on a GPU, of 2 to 50 on a CPU" in page


def test_who_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the chart is drawn with the extra `benchmarks`")
    speed.draw({"text": RESULT}, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 0


def test_what_is_written_is_json_where_a_figure_is_no_number(place: Path) -> None:
    place.write_text(json.dumps({"image": RESULT}))
    speed.measure(["text"], False, 3, None, True, "", False)
    found = strict(place.read_text())
    assert found["image"]["contestants"]["no number"]["epoch"]["metric"] is None
    told = found["text"]["contestants"]["ours"]
    assert told["rounds"] == [5.0] and told["epoch"] == epoch(None) and found["text"]["metric"] == "accuracy"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--quick"], ["text", "image", "wav2vec2-fast"]),
        (["--quick", "resnet18"], ["resnet18"]),
        ([], list(cases.CASES)),
    ],
)
def test_quick_takes_the_small_case_of_each_modality_where_none_is_named(words, names, monkeypatch):
    asked: list[Any] = []
    monkeypatch.setattr(speed, "measure", lambda *given: asked.append(given))
    monkeypatch.setattr(speed, "render", lambda: None)
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    speed.main()
    ((taken, quick, *_),) = asked
    assert list(taken) == names and quick == ("--quick" in words)


def test_trainer_at_its_best_has_our_rate_and_by_default_its_own(tmp_path, monkeypatch):
    (tmp_path / "banking77").mkdir()
    for name in ("train", "test"):
        with (tmp_path / "banking77" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["text", "category"], *([f"say {number}", "a"] for number in range(300))])
    monkeypatch.setenv("MMTRANSFER_DATA", str(tmp_path))
    monkeypatch.setattr(cases, "minilm", lambda: "minilm")
    found: Any = cases.text(tmp_path, True)
    (settings,) = found.contestants["ours"].args
    rates = {
        name: found.contestants[name].args[-1].get("learning_rate")
        for name in ("Trainer, defaults", "Trainer, best", cases.COMPILED)
    }
    assert rates == {"Trainer, defaults": None, "Trainer, best": settings["lr"], cases.COMPILED: settings["lr"]}
    assert f"rate {settings['lr']:g} (Trainer, defaults: 0.00005)" in found.about


@pytest.mark.parametrize(("gpu", "kind"), [(True, "cuda"), (False, "cpu")])
def test_peers_ask_for_bf16_of_the_device_that_they_train_on(gpu, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(precision, "has_bf16", lambda device: device.type == kind)
    assert peers.has_bf16() and peers.best(0)["bf16"]


class Redness(torch.nn.Module):
    """Says class 1 of a picture that is more red than blue."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.by_channel = torch.nn.Parameter(torch.tensor([[-9.0, 9.0], [0.0, 0.0], [9.0, -9.0]]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3)) @ self.by_channel


@pytest.mark.parametrize("tuned", [False, True])
def test_a_loop_over_pictures_tells_the_accuracy_on_test_pictures(tuned, tmp_path, monkeypatch):
    blue, red = (0, 0, 250), (250, 0, 0)
    shown = {"train": {"a": [blue] * 2, "b": [red] * 2}, "test": {"a": [blue, blue, blue, red], "b": [red]}}
    for part, classes in shown.items():
        for label, colours in classes.items():
            (tmp_path / part / label).mkdir(parents=True)
            for number, colour in enumerate(colours):
                Image.new("RGB", (30, 20), colour).save(tmp_path / part / label / f"{number}.png")
    monkeypatch.setattr(torchvision.models, "redness", Redness, raising=False)
    pace: Any = Pace(None, True)  # type: ignore[arg-type]  # a whole epoch asks nobody
    loop = partial(peers.images, str(tmp_path / "train"), str(tmp_path / "test"), "redness", None)
    assert loop(2, tuned, 0, pace) == 0.8


def test_symbols_of_frames_become_text() -> None:
    assert cases.said(torch.tensor([0, 2, 2, 0, 2, 1, 1, 3, 0]), ["<blank>", "|", "a", "b"]) == "aa b"


def test_trainer_on_speech_tells_word_errors(tmp_path, monkeypatch):
    tiny.speech(tmp_path)
    train, test = tmp_path / "speech" / "train", tmp_path / "speech" / "validation"

    class Steady(torch.nn.Module):
        """Says `ab` of every recording."""

        device = torch.device("cpu")

        def forward(self, waves: torch.Tensor) -> Any:
            assert waves.shape[0] == 1 and waves.std() > 0.9
            return type("Said", (), {"logits": torch.eye(4)[[0, 2, 2, 3]][None]})

    def trainer(*given: Any) -> Any:
        *_, score, options = given
        assert options["learning_rate"] == 1e-4
        return score(Steady())

    monkeypatch.setattr(peers, "trainer", trainer)
    # ab, a, ab, ab, `ab b` and `ab ba` in turn
    texts = [row["text"] for row in csv.DictReader((test / "metadata.csv").open())]
    wrong = sum({"ab": 0, "a": 1, "ab b": 1, "ab ba": 1}[text] for text in texts)
    found = cases._recordings(str(train), str(test), tiny.WAV2VEC2, 1, {}, None)  # type: ignore[arg-type]
    assert found == wrong / sum(len(text.split()) for text in texts)


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each backward pass, whether it was within `tf32`."""
    within, found = [False], list[bool]()
    backward = torch.Tensor.backward

    @contextmanager
    def tf32(_: torch.device) -> Iterator[None]:
        before, within[0] = within[0], True
        yield
        within[0] = before

    def noted(self: torch.Tensor, *given: Any, **named: Any) -> None:
        found.append(within[0])
        backward(self, *given, **named)

    monkeypatch.setattr(precision, "tf32", tf32)
    monkeypatch.setattr(torch.Tensor, "backward", noted)
    return found


def test_the_bare_loop_learns_and_scores_as_fit_does(settings, backwards, tmp_path, monkeypatch):
    still = tiny.bert(
        tmp_path / "bert", [chr(97 + n) for n in range(26)], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    settings = {**settings, **cases.PLAIN, "backbone": str(still), "batch_size": 8, "lr": 1e-2}
    asked: list[Any] = []

    def evaluate(model: Any, *given: Any) -> Any:
        asked.append((model, evaluation_of(model, *given)))
        return asked[-1][1]

    evaluation_of = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    pace: Any = Pace(None, True)  # type: ignore[arg-type]  # a whole epoch asks nobody
    found = ours.bare(settings, pace)
    ((model, records),) = asked
    assert backwards and all(backwards)
    right = [one == other for one, other in zip(records["prediction"], records["target"], strict=True)]
    run = mmt.fit(**settings, out=tmp_path / "run")
    assert len(right) == 12 and found == np.mean(right) == run.result["primary"]["value"]
    torch.testing.assert_close(model.head.state_dict(), run.model.head.state_dict())
