"""Precision and layout that a run chooses for itself: what is tried, what is taken, and that trying leaves no trace."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

import mmtransfer as mmt
from mmtransfer.api import Run
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine import phases, precision, trial
from mmtransfer.engine.shortage import else_on_the_cpu
from mmtransfer.engine.signals import Interrupted
from mmtransfer.run import RunFolder

WANTED = {"precision": "bf16", "layout": "channels-last"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = parse(IMAGE, tiny.images(tmp_path_factory.mktemp("pictures")), {}, "a test")
    return {**settings, **tiny.QUICK, "strategy": "full", "test": settings["validation"]}


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is long enough to try."""
    monkeypatch.setattr(trial, "SHORT", 0.0)
    monkeypatch.setattr(trial, "SHARE", 1e9)


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds of a step by choice, as the clock gives them, on a machine with bf16."""
    seconds = {"fp32 contiguous": 4.0, "bf16 contiguous": 2.0, "bf16 channels-last": 1.0, "fp32 channels-last": 3.0}
    step = trial._Trial._step

    def timed(self: Any) -> float:
        step(self)
        return seconds[f"{self.whole.precision} {precision.layout_of(self.whole)}"]

    monkeypatch.setattr(trial._Trial, "_step", timed)
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    return seconds


def weights(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.model.state_dict())


def saved(run: Run) -> dict[str, Any]:
    return json.loads(run.folder.config.read_text())


def test_what_is_taken_stands_in_the_run_and_trying_leaves_no_trace(pictures, long, speeds, tmp_path):
    run = mmt.fit(**pictures, out=str(tmp_path / "auto"))
    assert {name: saved(run)[name] for name in WANTED} == WANTED
    told = run.result["precision"]
    assert (told["dtype"], told["layout"]) == ("bf16", "channels-last")
    assert {name: one["seconds"] for name, one in told["tried"].items()} == {
        name: speeds[name] for name in ("fp32 contiguous", "bf16 contiguous", "bf16 channels-last")
    }
    asked = mmt.fit(**pictures, **WANTED, out=str(tmp_path / "asked"))
    assert asked.result["precision"]["tried"] == {}
    assert all(torch.equal(value, weights(asked)[name]) for name, value in weights(run).items())


def test_a_run_that_is_used_computes_as_it_was_scored(pictures, tmp_path):
    run = mmt.fit(**pictures, **WANTED, out=str(tmp_path / "run"))
    again = mmt.load(tmp_path / "run").evaluate(pictures["test"])
    name = run.result["primary"]["name"]
    assert again[name].value == run.result["primary"]["value"]
    assert precision.layout_of(mmt.load(tmp_path / "run").model) == "channels-last"


@pytest.mark.parametrize("limit, value", [("COSINE", 1.1), ("LOSS", -1.0)])
def test_what_does_not_agree_is_not_taken(limit, value, pictures, long, speeds, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trial, limit, value)
    with caplog.at_level("INFO", "mmtransfer"):
        run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert (saved(run)["precision"], saved(run)["layout"]) == ("fp32", "contiguous")
    assert "bf16 contiguous is not taken" in caplog.text and "fp32 channels-last is not taken" in caplog.text


def test_what_is_hardly_faster_is_not_taken(pictures, long, speeds, tmp_path):
    speeds |= {"bf16 contiguous": 3.9, "fp32 channels-last": 3.9}
    run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert (saved(run)["precision"], saved(run)["layout"]) == ("fp32", "contiguous")
    assert set(run.result["precision"]["tried"]) == {"fp32 contiguous", "bf16 contiguous", "fp32 channels-last"}


def test_nothing_is_tried_where_it_would_not_pay(pictures, tmp_path, caplog):
    with caplog.at_level("INFO", "mmtransfer"):
        run = mmt.fit(**pictures, out=str(tmp_path / "short"))
    assert "too short to try anything else" in caplog.text
    assert run.result["precision"]["tried"] == {} and saved(run)["precision"] == "fp32"


@pytest.mark.parametrize("strategy", ["linear-probe", "bitfit"])
def test_bf16_is_not_tried_without_its_arithmetic_or_without_steps(strategy, settings, long, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda device: strategy == "linear-probe")
    run = mmt.fit(**settings, strategy=strategy, out=str(tmp_path / "run"))
    assert run.result["precision"]["tried"] == {} and saved(run)["precision"] == "fp32"


def test_text_has_no_layout(settings, long, speeds, tmp_path):
    run = mmt.fit(**settings, strategy="full", out=str(tmp_path / "run"))
    assert set(run.result["precision"]["tried"]) == {"fp32 contiguous", "bf16 contiguous"}
    assert (run.config.task, saved(run)["precision"]) == (TEXT, "bf16")


def test_a_resumed_run_goes_on_as_it_began(pictures, long, speeds, tmp_path, monkeypatch):
    whole = mmt.fit(**pictures | {"epochs": 2}, out=str(tmp_path / "whole"))
    validate = phases._validate

    def stop(training: Any, *others: Any) -> bool:
        is_best = validate(training, *others)
        signal.raise_signal(signal.SIGTERM)
        return is_best

    place = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(phases, "_validate", stop)
        with pytest.raises(Interrupted):
            mmt.fit(**pictures | {"epochs": 2}, out=str(place))
    assert RunFolder(place).read_config()["layout"] == "channels-last"
    speeds |= {"bf16 channels-last": 9.0}  # nothing is tried again
    run = mmt.fit(**pictures | {"epochs": 2}, resume=True, out=str(place))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())


def test_repeats_try_once(pictures, long, speeds, tmp_path):
    runs = mmt.repeat(**pictures, n=2, out=str(tmp_path / "runs")).runs
    assert [bool(run.result["precision"]["tried"]) for run in runs] == [True, False]
    assert [saved(run)["layout"] for run in runs] == ["channels-last"] * 2


def test_tf32_is_of_the_network_alone(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.no_grad())
    matmul, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.fp32_precision
    with precision.forward(torch.device("cuda"), "fp32"):
        assert matmul.fp32_precision == "tf32"
    with precision.forward(torch.device("cpu"), "fp32"):
        assert matmul.fp32_precision == before
    assert matmul.fp32_precision == before


def test_exact_solvers_have_exact_products_whatever_is_set():
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
    try:
        assert else_on_the_cpu(torch.device("cuda"), lambda _: matmul.fp32_precision) == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_weights_that_are_cast_are_not_kept_while_a_pass_is_recorded(monkeypatch):
    kept = []
    monkeypatch.setattr(torch, "autocast", lambda *_, **how: (kept.append(how["cache_enabled"]), torch.no_grad())[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for recording in (True, False):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda recording=recording: recording)
        with precision.forward(torch.device("cuda"), "bf16"):
            assert kept.pop() is not recording


def test_states_in_another_layout_have_another_key(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("MMTRANSFER_CACHE", str(tmp_path / "cache"))
    settings = pictures | {"strategy": "partial", "cache": "on", "augment": "none"}
    entries = []
    for layout in ("contiguous", "channels-last"):
        mmt.fit(**settings, layout=layout, out=str(tmp_path / layout))
        entries.append({path.name for path in Path(tmp_path / "cache").rglob("*") if path.is_dir()})
    assert len(entries[1]) > len(entries[0])


def test_it_is_enough_to_agree_as_scored_or_as_trained(pictures, long, speeds, tmp_path, monkeypatch):
    outputs, calls = trial._Trial._outputs, list[int]()

    def spoiled(self: Any) -> list[tuple[torch.Tensor, float]]:
        """Running statistics that make what is scored differ from choice to choice; those of the batch hide them."""
        calls.append(len(calls))
        for module in self.whole.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.fill_(10.0 * len(calls))
        found = outputs(self)
        assert len(found) == 2
        return found

    monkeypatch.setattr(trial._Trial, "_outputs", spoiled)
    monkeypatch.setattr(trial, "COSINE", 0.9)  # of a few tiny pictures
    monkeypatch.setattr(trial, "LOSS", 0.1)
    run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert len(calls) == 3 and {name: saved(run)[name] for name in WANTED} == WANTED


def test_a_choice_that_is_far_slower_is_timed_no_further(pictures, long, speeds, tmp_path, monkeypatch):
    counted, step = [], trial._Trial._step
    monkeypatch.setattr(trial._Trial, "_step", lambda self: counted.append(self.whole.precision) or step(self))
    speeds |= {"bf16 contiguous": 40.0}
    run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert saved(run)["precision"] == "fp32" and counted.count("bf16") == 1


def test_out_of_memory_while_trying_leaves_what_else_there_is(pictures, long, speeds, tmp_path, monkeypatch):
    step, short_of = trial._Trial._step, {"bf16"}

    def short(self: Any) -> float:
        if self.whole.precision in short_of:
            raise torch.OutOfMemoryError("no more")
        return step(self)

    monkeypatch.setattr(trial._Trial, "_step", short)
    run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert (saved(run)["precision"], saved(run)["layout"]) == ("fp32", "channels-last")
    assert any("bf16 contiguous is not taken: out of memory" in line for line in run.result["warnings"])
    short_of.add("fp32")
    run = mmt.fit(**pictures, out=str(tmp_path / "again"))
    assert run.result["precision"]["tried"] == {} and saved(run)["layout"] == "contiguous"
    assert any("nothing else is tried: out of memory" in line for line in run.result["warnings"])


def test_steps_of_a_trial_are_outputs_warming_up_what_is_timed_and_one_more():
    assert trial.steps_of(3, 1) == pytest.approx(8) and trial.steps_of(2, 1, 3) == pytest.approx(29 / 3)


@pytest.mark.parametrize("steps", [8.1, 12.0, 20.0])
def test_a_trial_takes_no_more_steps_than_it_may(steps, pictures, speeds, tmp_path, monkeypatch):
    counted, step = [], trial._Trial._step

    def timed(self: Any) -> float:
        counted.append(self.examples / self.size)
        return step(self)

    start = trial._Trial.__init__

    def sized(self: Any, *others: Any) -> None:
        start(self, *others)
        monkeypatch.setattr(trial, "SHARE", steps / (self.examples / self.size))

    monkeypatch.setattr(trial._Trial, "_step", timed)
    monkeypatch.setattr(trial._Trial, "__init__", sized)
    monkeypatch.setattr(trial, "SHORT", 0.0)
    monkeypatch.setattr(trial, "SHARE", 1e9)
    run = mmt.fit(**pictures, out=str(tmp_path / "run"))
    assert len(run.result["precision"]["tried"]) == 3
    assert 7 <= len(counted) <= steps - 3 / 3
