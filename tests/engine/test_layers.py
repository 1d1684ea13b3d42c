"""Features of an earlier stage: which one is taken, and a finished run that predicts with it."""

from __future__ import annotations

import json
import logging

import numpy as np
import pyarrow.parquet
import pytest
import tiny
import torch
from safetensors.torch import load_file

import mmtransfer as mmt
from mmtransfer import backbones
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.engine.signals import Interrupted
from mmtransfer.engine.states import States
from mmtransfer.engine.stopping import Stopped
from mmtransfer.errors import MMTransferError

PROBE = ["--weights", "none", "--threads", "1", "--strategy", "linear-probe", "--strategy.layer"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    return {IMAGE: [*tiny.images(folder), "--augment", "none"], TEXT: tiny.text(folder)}


@pytest.fixture
def fit(places, tmp_path, caplog):
    logging.getLogger("mmtransfer").propagate = True
    caplog.set_level(logging.INFO, "mmtransfer")

    def fit(task: str, *words: str, out: str = "run", **data: object) -> mmt.Run:
        flags = [*places[task], *PROBE, *words, "--out", str(tmp_path / out), "--cache-dir", str(tmp_path / "cache")]
        return mmt.fit(**parse(task, flags, {}, "a test"), **data)

    return fit


@pytest.mark.parametrize(("task", "tried"), [(TEXT, [1, 2, 3]), (IMAGE, [2, 3, 4, 5])])
def test_the_layer_is_chosen_on_validation_data_and_the_run_predicts_with_it(fit, tmp_path, caplog, task, tried):
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(list("abcdefgh"), 1 + n)) for n in range(8)]
    inputs = texts if task == TEXT else list(random.integers(0, 255, (8, 24, 20, 3), dtype=np.uint8))
    test = [(one, ("xy" if task == TEXT else "ab")[number % 2]) for number, one in enumerate(inputs)]
    run = fit(task, "auto", test=test)
    (phase,) = run.result["phases"]
    scored = {entry["layer"]: (-entry["accuracy"], entry["loss"]) for entry in phase["layers"]}
    assert list(scored) == tried and phase["layer"] == min(scored, key=scored.get)
    assert all(f"layer {layer} of {tried[-1]}: validation accuracy" in caplog.text for layer in tried)
    assert f"features are taken behind stage {phase['layer']} of {tried[-1]}" in caplog.text
    assert phase["best"]["value"] == -scored[phase["layer"]][0]
    entries = [json.loads(file.read_text())["split"] for file in (tmp_path / "cache").rglob("index.json")]
    assert (entries.count("train"), entries.count("test")) == (len(tried), 1), "the others see no test data"
    opened = mmt.load(run.folder.path)
    assert opened.model.backbone.depth == phase["layer"]
    stored = pyarrow.parquet.read_table(run.folder.predictions("test")).to_pydict()
    assert [one.label for one in opened.predict(inputs)] == stored["prediction"]
    assert opened.evaluate(test)["accuracy"].value == run.metrics["test"]["accuracy"]["value"]


def test_a_layer_by_its_number_is_the_output_of_that_stage(fit, places, tmp_path):
    data = places[IMAGE][3]
    run = fit(IMAGE, "4", "--test", data)
    (phase,) = run.result["phases"]
    assert phase["layer"] == 4 and phase["layers"] == []
    assert load_file(run.folder.model / "head.safetensors")["linear.weight"].shape == (2, 256)
    found = run.embed(data).values
    assert np.array_equal(mmt.embed(run.folder.path, data, cache="off").values, found)
    task, backbone = run.model.task, backbones.load(str(run.folder.path)).eval()
    assert backbone.depth == 5 and backbone.width == 512, "as a backbone a run is whole"
    rows, _ = task.input.rows(run._table(data, labelled=False, option="a test"))
    with torch.no_grad():
        state = task.input.on_device({"x": task.encode(rows[0], None).x[None]})
        expected = backbone.run(state, 0, 4)["x"].mean((2, 3))[0]
    assert found[0] == pytest.approx(expected.numpy(), rel=1e-4)


def test_the_last_layer_by_its_number_is_the_default(fit):
    heads = [fit(TEXT, layer, out=layer).folder.model / "head.safetensors" for layer in ("3", "last")]
    one, other = map(load_file, heads)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_choice_that_is_stopped_goes_on(fit, tmp_path, monkeypatch):
    whole = fit(TEXT, "auto", "--cache", "off", out="whole")
    run, passes = States.run, []

    def stopping(states, batches):
        passes.append(states.model.backbone.depth)
        if len(passes) == 4:
            raise Stopped(True)
        return run(states, batches)

    monkeypatch.setattr(States, "run", stopping)
    with pytest.raises(Interrupted, match="--resume"):
        fit(TEXT, "auto")
    resumed = fit(TEXT, "auto", "--resume")
    assert passes[:4] == [1, 1, 2, 2] and passes[4:] == [2, 3, 3], "what was built is read"
    one, other = (load_file(run.folder.model / "head.safetensors") for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("words", [["0"], ["4"], ["2", "--strategy.solver", "loop"], ["2", "--head", "mlp"]])
def test_a_layer_that_is_not_there_or_that_nothing_reads_is_refused(fit, tmp_path, words):
    with pytest.raises(MMTransferError, match="strategy_options=..layer.: "):
        fit(TEXT, *words)
    assert not (tmp_path / "run").exists()


def test_maps_with_channels_behind_are_pooled_over_their_places():
    backbone = backbones.load("swin_t", "none").eval()
    backbone.depth = 2
    with torch.no_grad():
        state = backbone.run({"x": torch.randn(1, 3, 64, 64)})
        assert state["x"].shape[-1] == 96 and torch.equal(backbone.pool(state), state["x"].mean((1, 2)))
