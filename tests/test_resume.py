"""A run that is killed or stopped anywhere goes on to the very same weights and scores."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest
import tiny
from programs import Program
from safetensors.torch import load_file
from torch import equal

from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.run import RunFolder

STEPS = 24
"""Optimiser steps of each run: 48 examples in steps of 6, 3 epochs, the first for the head alone."""
COMMON = ["--epochs", "3", "--batch-size", "6", "--strategy", "full", "--strategy.head-epochs", "1", "--log-every", "1"]
COMMON += ["--checkpoint-every", "3", "--workers", "2", "--threads", "1", "--weights", "none", "--lr", "1e-3"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Small data and small architectures with dropout, by task: (folder, flags)."""
    folder = tmp_path_factory.mktemp("resume")
    # not auto: what is measured may decide otherwise in the resumed run, whose losses would differ by 1e-7
    on = ["--cache", "on", "--cache-dir", str(folder / "cache")]
    always = ["--checkpoint-minutes", "0"]
    flags = {IMAGE: [*tiny.images(folder), "--cache", "off", *always], TEXT: [*tiny.text(folder), *on]}
    return folder, flags | {SPEECH: [*tiny.speech(folder), *on]}


def start(task: str, flags: list[str], out: Path) -> Program:
    """On the CPU, where nothing needs to be asked for, unless --deterministic is."""
    hidden = {} if "--deterministic" in flags else {"CUDA_VISIBLE_DEVICES": ""}
    return Program("-m", "mmtransfer", "fit", task, *COMMON, *flags, "--out", str(out), **hidden)


def result(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def steps_done(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def interrupt(process: Program, out: Path, step: int, how: signal.Signals) -> str:
    """Signals the run when it has logged `step` steps; returns what it said."""
    while steps_done(out) < step and process.status is None:
        time.sleep(0.002)
    process.signal(how)
    return process.wait()


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("backbone", "head"):
        ours, theirs = (load_file(run / "model" / f"{name}.safetensors") for run in (one, other))
        assert ours.keys() == theirs.keys()
        assert all(equal(ours[key], theirs[key]) for key in ours), name
    metrics = [result(run)["metrics"] for run in (one, other)]
    assert metrics[0] == metrics[1]
    losses = [
        [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, other)
    ]
    assert len(losses[0]) == STEPS and losses[0] == losses[1]


@pytest.fixture(scope="module")
def whole(places):
    """The uninterrupted run of each task, made when first asked for."""
    folder, flags = places
    made: dict[str, Path] = {}

    def run(task: str) -> Path:
        if task not in made:
            made[task] = folder / f"whole-{task}"
            start(task, flags[task], made[task]).end()
        return made[task]

    return run


def spoil(checkpoints: Path) -> None:
    """What somebody may leave there, and a pointer to nothing."""
    (checkpoints / "step-mine").mkdir(parents=True)
    (checkpoints / "step-mine" / "notes.txt").write_text("mine")
    (checkpoints / "last").write_bytes(b"\xff\xfe step")


def check(places, whole, task: str, step: int, how: signal.Signals) -> None:
    folder, flags = places
    out = folder / f"{task}-{step}-{how.name}"
    process = start(task, flags[task], out)
    said = interrupt(process, out, step, how)
    if how == signal.SIGKILL:
        assert process.status == -9 and not (out / "result.json").exists()
    elif process.status:
        assert process.status == 128 + how
        assert f"--resume --out {out}" in said
        assert result(out)["status"] == "stopped"
    before = result(out)["seconds"] if process.status > 0 else {}
    assert (out / "lock.json").exists() is (how == signal.SIGKILL)
    if how == signal.SIGKILL:
        spoil(out / "checkpoints")
    said = start(task, [*flags[task], "--resume"], out).end()
    assert ("taking over the lock" in said) is (how == signal.SIGKILL) and not (out / "lock.json").exists()
    after = result(out)["seconds"]
    assert all(after[part] > before[part] for part in before if part in ("total", "startup"))
    assert_same_run(whole(task), out)


def test_a_torn_line_of_the_log_is_dropped(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log.write_text('{"step": 1}\n{"step": 3}\n{"step": 2}\n{"ste')
    folder.cut_log(2)
    assert folder.log.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    ("task", "step", "how"),
    [(IMAGE, 11, signal.SIGTERM), (TEXT, 13, signal.SIGKILL), (SPEECH, 5, signal.SIGINT)],
    ids=["image", "text", "speech"],
)
def test_an_interrupted_run_ends_as_the_whole_one(places, whole, task, step, how):
    check(places, whole, task, step, how)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("task", "step"), [(IMAGE, 11), (TEXT, 13), (SPEECH, 5)], ids=["image", "text", "speech"])
def test_a_deterministic_run_ends_as_the_whole_one_on_a_gpu(places, tmp_path, task, step, precision):
    _, flags = places
    asked = [*flags[task], "--deterministic", "--precision", precision]
    start(task, asked, tmp_path / "whole").end()
    assert json.loads((tmp_path / "whole" / "result.json").read_text())["device"]["cudnn"]
    interrupt(start(task, asked, tmp_path / "stopped"), tmp_path / "stopped", step, signal.SIGTERM)
    start(task, [*asked, "--resume"], tmp_path / "stopped").end()
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "terminate"])
@pytest.mark.parametrize("task", [IMAGE, TEXT, SPEECH])
@pytest.mark.parametrize("step", sorted(random.Random(0).sample(range(1, STEPS), 5)))
def test_a_run_interrupted_at_random_steps_ends_as_the_whole_one(places, whole, task, step, how):
    check(places, whole, task, step, how)


def test_the_command_of_a_builtin_case_goes_on_with_resume(tmp_path, command):
    words = [
        "fit",
        TEXT,
        "--train",
        "builtin",
        "--backbone",
        "builtin",
        "--shots",
        "2",
        "--epochs",
        "1",
        "--threads",
        "1",
    ]
    status, _, said = command(*words, "--out", tmp_path / "run", "--cache", "off")
    assert status == 0, said
    (tmp_path / "run" / "result.json").unlink()
    status, _, said = command(*words, "--out", tmp_path / "run", "--cache", "off", "--resume")
    assert status == 0, said
