"""`fit` and `load`: what a run folder holds, what a run promises, runs as backbones, budgets."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
import tiny
import torch
from safetensors.torch import load_file

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import AUDIO, SPEECH, TAGS, TEXT
from mmtransfer.engine.state import TrainState
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics.spans import counts

TASKS = tuple(tiny.MAKERS)
LANGUAGE = {"words.arpa", "letters.arpa"}
COMMON = {"weights": "none", "epochs": 1, "batch_size": 12, "threads": 1, "log_every": 2}

RESULT = {
    "program": None,
    "schema": None,
    "status": None,
    "task": None,
    "seed": None,
    "command": None,
    "started": None,
    "seconds": {"total", "startup", "data", "cache", "train", "checkpoint", "evaluate"},
    "data": {"train", "validation", "test"},
    "findings": None,
    "backbone": {"name", "source", "sha256", "parameters"},
    "strategy": {"name", "options"},
    "parameters": {"total", "trainable"},
    "phases": None,
    "metrics": {"validation", "test"},
    "primary": {"name", "split", "value"},
    "errors": None,
    "throughput": {
        "examples_per_second",
        "tokens_or_seconds_of_audio_per_second",
        "stall_share",
        "checkpoint_share",
    },
    "memory": {"peak_bytes", "device_peak_bytes"},
    "device": {"type", "name"},
    "precision": {"dtype", "layout", "allocator", "tried"},
    "cache": {"mode", "cut", "bytes", "build_seconds", "hits", "expected", "decoded"},
    "warnings": None,
}
"""The keys of result.json; None: a value, or checked below."""


def settings(task: str, flags: list[str]) -> dict:
    return parse(task, flags, {}, "a test")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Settings on small data for each task, with test data."""
    folder = tmp_path_factory.mktemp("api")
    made = {}
    for task, make in tiny.MAKERS.items():
        (folder / "data" / task).mkdir(parents=True)
        made[task] = settings(task, make(folder / "data" / task))
    made[SPEECH]["decode"] = "beam"
    return folder, {task: {**given, **COMMON, "test": given["validation"]} for task, given in made.items()}


@pytest.fixture(scope="module")
def runs(places):
    folder, made = places
    return {task: mmt.fit(**given, out=folder / task) for task, given in made.items()}


def columns(run: mmt.Run, split: str) -> pyarrow.Table:
    return pyarrow.parquet.read_table(run.folder.predictions(split))


@pytest.mark.parametrize("task", TASKS)
def test_result_json_has_exactly_the_keys_of_the_specification(runs, task):
    result = json.loads(runs[task].folder.result.read_text())
    assert list(result) == list(RESULT)
    for name, keys in RESULT.items():
        if keys is not None and not (name == "cache" and result[name] is None):
            assert set(result[name]) == keys, name
    assert (result["program"], result["schema"]) == ("mmtransfer", 2)
    assert result["status"] == "finished" and result["task"] == task
    for split in ("train", "validation", "test"):
        assert set(result["data"][split]) == {"source", "n", "fingerprint", "content", "skipped"}
    for phase in result["phases"]:
        keys = {"name", "solver", "epochs", "steps", "seconds", "best", "penalty", "scale", "path", "layer", "layers"}
        keys |= {"folds", "validations"}
        assert set(phase) == keys and set(phase["best"]) == {"epoch", "value"}
    for metrics in result["metrics"].values():
        assert metrics and all(set(score) == {"value", "low", "high", "n", "method"} for score in metrics.values())
    primary = result["primary"]
    assert primary["value"] == result["metrics"][primary["split"]][primary["name"]]["value"]
    assert primary["split"] == "test"


@pytest.mark.parametrize("task", TASKS)
def test_a_run_folder_holds_what_it_should(runs, task):
    there = {path.name for path in runs[task].folder.path.iterdir()}
    assert there == {"config.json", "result.json", "model", "predictions", "log.jsonl", "environment.json", "README.md"}
    model = {path.name for path in runs[task].folder.model.iterdir()}
    others = {"config.json", "model.safetensors.index.json", "tokenizer_config.json"}  # transformers' own
    more = {
        TEXT: others | {"tokenizer.json", "classifier.safetensors"},
        SPEECH: others | {"vocab.json", "preprocessor_config.json", "lm_head.safetensors", *LANGUAGE},
        AUDIO: others - {"tokenizer_config.json"} | {"preprocessor_config.json", "classifier.safetensors"},
        TAGS: others | {"tokenizer.json", "classifier.safetensors"},
    }
    ours = {"backbone.safetensors", "head.safetensors", "task.json", "backbone.json", "manifest.json"}
    assert model == ours | more.get(task, set())
    line = json.loads(runs[task].folder.log.read_text().splitlines()[-1])
    assert {"step", "epoch", "loss", "lr", "examples_per_second", "stall_share", "memory_bytes"} <= set(line)
    assert line["step"] == 4 and line["epoch"] == 1.0


@pytest.mark.parametrize("task", TASKS)
def test_a_failed_run_has_all_keys_too(places, task, monkeypatch):
    folder, made = places
    out = folder / f"failed-{task}"
    monkeypatch.setattr("mmtransfer.engine.phases.train", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mmt.fit(**made[task], out=out)
    result = json.loads((out / "result.json").read_text())
    assert list(result) == list(RESULT) and result["status"] == "failed"
    assert "ZeroDivisionError" in result["warnings"][-1]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_are_stored_for_every_example(runs, task, split):
    table = columns(runs[task], split)
    needed = {"id", "target", "prediction", "loss"}
    if task == SPEECH:
        needed |= {
            "substitutions",
            "deletions",
            "insertions",
            "words",
            "speaker",
            "alignment",
            "seconds",
            "snr",
            "greedy",
        }
    elif task == TAGS:
        needed |= {"confidence", "confidences"}
    else:
        needed |= {"logits"}
        assert table.schema.field("logits").type == pyarrow.list_(pyarrow.float32())
    assert needed <= set(table.column_names)
    assert len(table) == 12 and len(set(table["id"].to_pylist())) == 12


@pytest.mark.parametrize("task", TASKS)
def test_stored_predictions_give_the_scores_again(runs, task):
    run, table = runs[task], columns(runs[task], "test").to_pydict()
    if task == SPEECH:
        edits = sum(map(sum, (table[kind] for kind in ("substitutions", "deletions", "insertions"))))
        assert run.result["primary"]["value"] == pytest.approx(edits / sum(table["words"]))
    elif task == TAGS:
        right, predicted, true = counts(table["prediction"], table["target"]).sum(0)
        assert run.result["primary"]["value"] == pytest.approx(2 * right / max(1, predicted + true))
    else:
        right = [one == other for one, other in zip(table["target"], table["prediction"], strict=True)]
        assert run.result["primary"]["value"] == pytest.approx(sum(right) / len(right))


def test_errors_of_transcripts_are_told(runs):
    found, table = runs[SPEECH].result["errors"], columns(runs[SPEECH], "test").to_pydict()
    assert set(found) == {"validation", "test"} and not runs[TEXT].result["errors"]
    kinds = ("substitutions", "deletions", "insertions")
    assert [found["test"][kind] for kind in kinds] == [sum(table[kind]) for kind in kinds]
    for name in ("seconds", "snr"):  # of a tenth of a second nobody can tell the noise
        known = {place: value for place, value in enumerate(table[name]) if value is not None}
        parts = found["test"][f"by_{name}"]
        assert len(known) > 4 and sum(part["words"] for part in parts) == sum(table["words"][n] for n in known)
        assert (parts[0]["from"], parts[-1]["to"]) == (min(known.values()), max(known.values()))
    assert {row["speaker"] for row in found["test"]["by_speaker"]} == set(table["speaker"])


def test_another_process_predicts_the_same(runs, places):
    _, made = places
    script = """
import dataclasses, json, sys
import mmtransfer as mmt
found = [[dataclasses.asdict(p) for p in mmt.load(folder).predict(data)] for folder, data in json.loads(sys.argv[1])]
print(json.dumps(found))
"""
    asked = [(str(runs[task].folder.path), made[task]["test"]) for task in TASKS]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(asked)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for (folder, data), theirs in zip(asked, json.loads(done.stdout.splitlines()[-1]), strict=True):
        ours = mmt.load(folder).predict(data)
        assert [one.id for one in ours] == [other["id"] for other in theirs] and len(ours) == 12
        for one, other in zip(ours, theirs, strict=True):
            assert one.label == other["label"]
            assert one.score == pytest.approx(other["score"], abs=1e-5)
            assert one.scores == pytest.approx(other["scores"], abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_a_loaded_run_scores_what_it_scored(runs, places, task):
    scores = mmt.load(runs[task].folder.path).evaluate(places[1][task]["test"])
    assert mmt.evaluate(runs[task].folder.path, places[1][task]["test"]) == scores
    for name, score in runs[task].metrics["test"].items():
        assert scores[name].value == pytest.approx(score["value"], abs=1e-6)


def test_weights_are_for_backbones_only(runs):
    with pytest.raises(MMTransferError, match="A run has its own weights") as error:
        mmt.evaluate(runs[TEXT].folder.path, "x.csv", weights="none.pth")
    assert error.value.where == "--weights none.pth"


@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_a_backbone_and_stored_once_while_frozen(runs, places, task):
    folder, made = places
    given = {**made[task], "weights": None, "backbone": runs[task].folder.path, "strategy": "linear-probe"}
    chained = [mmt.fit(**given, out=folder / "chain" / f"{task}-{seed}", seed=seed) for seed in (0, 1)]
    files = [run.folder.model / "backbone.safetensors" for run in chained]
    ours, theirs = load_file(files[0]), load_file(runs[task].folder.model / "backbone.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert chained[0].result["backbone"]["source"] == str(runs[task].folder.path)
    digest = chained[0].result["backbone"]["sha256"]
    kept = folder / "chain" / ".weights" / f"{digest}.safetensors"
    assert {file.stat().st_ino for file in files} == {kept.stat().st_ino}
    assert chained[0].result["parameters"]["trainable"] < chained[0].result["parameters"]["total"]


def test_a_budget_ends_in_time_with_a_model_and_says_so(places):
    folder, made = places
    run = mmt.fit(**{**made[TEXT], "epochs": 50, "max_minutes": 1e-4}, out=folder / "budget")
    assert run.result["status"] == "finished" and run.result["phases"][0]["epochs"] == 1
    assert any("--max-minutes is spent" in line for line in run.result["warnings"])
    assert len(run.predict(["a b c"])) == 1


def test_patience_ends_a_phase_and_the_best_epoch_is_restored(places, monkeypatch):
    folder, made = places
    monkeypatch.setattr(TrainState, "improves", lambda state, value, higher: state.best is None)
    given = {**made[TEXT], "epochs": 9, "patience": 2, "lr": 0.05, "keep_checkpoints": True}
    run = mmt.fit(**given, out=folder / "patience")
    phase = run.result["phases"][0]
    assert phase["epochs"] == 3 and phase["best"]["epoch"] == 1
    head = load_file(run.folder.model / "head.safetensors")["linear.weight"]
    best, last = (
        load_file(run.folder.checkpoints / name / "weights.safetensors")["head.linear.weight"]
        for name in ("best-4", "step-12")
    )
    assert torch.equal(head, best) and not torch.equal(head, last)
    assert run.metrics["validation"]["accuracy"]["value"] == phase["best"]["value"]


def test_an_out_that_exists_is_refused_unless_it_may_be_overwritten(places):
    folder, made = places
    first = mmt.fit(**made[TEXT], out=folder / "twice")
    with pytest.raises(MMTransferError, match="The run folder exists") as error:
        mmt.fit(**made[TEXT], out=folder / "twice")
    assert "--overwrite" in error.value.do and mmt.load(folder / "twice").result == first.result
    again = mmt.fit(**made[TEXT], out=folder / "twice", overwrite=True, seed=1)
    assert mmt.load(folder / "twice").result["seed"] == again.result["seed"] == 1


def test_config_json_reproduces_the_run(places, runs):
    folder, _ = places
    given = json.loads(runs[TEXT].folder.config.read_text())
    again = mmt.fit(**{**given, "out": folder / "again"})
    assert again.metrics == runs[TEXT].metrics
    ours, theirs = (load_file(run.folder.model / "head.safetensors") for run in (again, runs[TEXT]))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_resuming_a_finished_run_gives_it_back(runs):
    again = mmt.fit(task=TEXT, resume=True, out=runs[TEXT].folder.path)
    assert again.result == runs[TEXT].result
