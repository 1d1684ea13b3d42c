"""A run that is killed or stopped anywhere goes on to the very same weights and scores."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import equal

from mmtransfer.config import IMAGE, SPEECH, TEXT

STEPS = 24
"""Optimiser steps of each run: 48 examples in steps of 6, 3 epochs, the first for the head alone."""
COMMON = ["--epochs", "3", "--batch-size", "6", "--strategy", "full", "--strategy.head-epochs", "1", "--log-every", "1"]
COMMON += ["--checkpoint-every", "3", "--workers", "2", "--threads", "1", "--weights", "none", "--lr", "1e-3"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Small data and small architectures with dropout, by task: (folder, flags)."""
    folder = tmp_path_factory.mktemp("resume")
    return folder, {IMAGE: _images(folder), TEXT: _text(folder), SPEECH: _speech(folder)}


def _images(folder: Path) -> list[str]:
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 6)):
        for label in ("a", "b"):
            (folder / "images" / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (24, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "images" / split / label / f"{number}.png")
    data = ["--train", str(folder / "images/train"), "--validation", str(folder / "images/validation")]
    return [*data, "--backbone", "resnet18", "--image-size", "32", "--augment", "light", "--micro-batch-size", "4"]


def _text(folder: Path) -> list[str]:
    from transformers import BertConfig, BertTokenizerFast

    words, generator = [chr(97 + n) for n in range(26)], np.random.default_rng(0)
    backbone = folder / "bert"
    backbone.mkdir()
    (backbone / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(backbone / "vocab.txt")).save_pretrained(backbone)
    BertConfig(
        vocab_size=31,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    ).save_pretrained(backbone)
    for split, count in (("train", 48), ("validation", 12)):
        rows = [f"{' '.join(generator.choice(words, generator.integers(1, 20)))},{'xy'[n % 2]}" for n in range(count)]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = ["--train", str(folder / "train.csv"), "--validation", str(folder / "validation.csv")]
    return [*data, "--backbone", str(backbone), "--micro-batch-tokens", "40", "--max-length", "32"]


def _speech(folder: Path) -> list[str]:
    import soundfile
    from transformers import Wav2Vec2Config

    backbone, generator = folder / "wav2vec2", np.random.default_rng(0)
    Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 2),
        conv_stride=(5, 2, 2),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
    ).save_pretrained(backbone)
    for split, count in (("train", 48), ("validation", 12)):
        place = folder / "speech" / split
        place.mkdir(parents=True)
        lines = ["file_name,text,speaker"]
        for number in range(count):
            samples = generator.normal(size=generator.integers(1500, 4000)) * 0.1
            soundfile.write(place / f"{number}.wav", samples, 16000)
            lines.append(f"{number}.wav,{'ab ba'[: 1 + number % 5].strip()},s{number % 3}")
        (place / "metadata.csv").write_text("\n".join(lines) + "\n")
    data = ["--train", str(folder / "speech/train"), "--validation", str(folder / "speech/validation")]
    return [*data, "--backbone", str(backbone), "--mask-prob", "0.3", "--micro-batch-seconds", "0.6"]


def start(task: str, flags: list[str], out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mmtransfer", "fit", task, *COMMON, *flags, "--out", str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]


def steps_done(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def interrupt(process: subprocess.Popen[str], out: Path, step: int, how: signal.Signals) -> str:
    """Signals the run when it has logged `step` steps; returns what it said."""
    while steps_done(out) < step and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(how)
    _, errors = process.communicate(timeout=300)
    return errors


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("backbone", "head"):
        ours, theirs = (load_file(run / "model" / f"{name}.safetensors") for run in (one, other))
        assert ours.keys() == theirs.keys()
        assert all(equal(ours[key], theirs[key]) for key in ours), name
    metrics = [json.loads((run / "result.json").read_text())["metrics"] for run in (one, other)]
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
            finish(start(task, flags[task], made[task]))
        return made[task]

    return run


def check(places, whole, task: str, step: int, how: signal.Signals) -> None:
    folder, flags = places
    out = folder / f"{task}-{step}-{how.name}"
    process = start(task, flags[task], out)
    said = interrupt(process, out, step, how)
    if how == signal.SIGKILL:
        assert process.returncode == -9 and not (out / "result.json").exists()
    elif process.returncode:
        assert process.returncode == 128 + how
        assert f"--resume --out {out}" in said
        assert json.loads((out / "result.json").read_text())["status"] == "stopped"
    finish(start(task, [*flags[task], "--resume"], out))
    assert_same_run(whole(task), out)


@pytest.mark.parametrize(
    ("task", "step", "how"),
    [(IMAGE, 11, signal.SIGTERM), (TEXT, 13, signal.SIGKILL), (SPEECH, 5, signal.SIGINT)],
    ids=["image", "text", "speech"],
)
def test_an_interrupted_run_ends_as_the_whole_one(places, whole, task, step, how):
    check(places, whole, task, step, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "terminate"])
@pytest.mark.parametrize("task", [IMAGE, TEXT, SPEECH])
@pytest.mark.parametrize("step", sorted(random.Random(0).sample(range(1, STEPS), 5)))
def test_a_run_interrupted_at_random_steps_ends_as_the_whole_one(places, whole, task, step, how):
    check(places, whole, task, step, how)
