"""Every family learns 32 examples by heart through the command line, the run folder and predict; a minute each."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from PIL import Image

from mmtransfer.config import IMAGE, SPEECH, TEXT

pytestmark = pytest.mark.slow
N = 32
COMMON = [
    "--weights",
    "none",
    "--batch-size",
    "8",
    "--schedule",
    "cosine",
    "--warmup",
    "0.1",
    "--strategy",
    "scratch",
]
IMAGES = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "inception_v3": 299,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "regnet_x_400mf": 64,
    "resnet18": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "vgg11_bn": 32,
    "vit_b_32": 224,
}
"""The smallest network of each family -> pixels of a side."""
TEXT_SIZE = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 31, "max_position_embeddings": 64}
SPEECH_SHAPE = {
    **tiny.WAV2VEC2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 8, 4),
    "feat_extract_norm": "layer",
}


def learnt(command: Callable[..., tuple[int, str, str]], task: str, data: Path, out: Path, *flags: object) -> list[str]:
    """The answers of `predict`, in the order of the data, after training on them."""
    words = ["--train", data, "--validation", data, *COMMON, *flags, "--out", out]
    status, _, said = command("fit", task, *words)
    assert status == 0, said
    status, _, said = command("predict", out, data, "--out", out / "answers.csv")
    assert status == 0, said
    assert json.loads((out / "result.json").read_text())["status"] == "finished"
    with (out / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N
    return [row["label"] for row in rows]


def pictures(folder: Path) -> tuple[Path, list[str]]:
    """A table of pictures with a bright square, red or blue, and their labels."""
    rng = np.random.default_rng(0)
    labels = ["a" if number % 2 else "b" for number in range(N)]
    rows = [("file_name", "label")]
    for number, label in enumerate(labels):
        pixels = rng.integers(0, 160, (32, 32, 3))
        pixels[8:24, 8:24, 0 if label == "a" else 2] += 90
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", label))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "metadata.csv", labels


@pytest.mark.parametrize("name", IMAGES)
def test_pictures(name, command, tmp_path):
    data, labels = pictures(tmp_path)
    flags = ["--backbone", name, "--image-size", IMAGES[name], "--augment", "none", "--patience", 30]
    # 224 pixels and more are a second a picture on one core: fewer, smaller steps
    flags += ["--epochs", 15, "--lr", "3e-4"] if IMAGES[name] > 64 else ["--epochs", 60, "--lr", "1e-3"]
    found = learnt(command, IMAGE, data, tmp_path / "run", *flags)
    assert sum(one == two for one, two in zip(found, labels, strict=True)) / N >= 0.99


@pytest.mark.parametrize("family", tiny.IMAGES)
def test_image_encoders(family, command, tmp_path):
    data, labels = pictures(tmp_path)
    tiny.image_checkpoint(tmp_path / "checkpoint", family)
    flags = [
        "--backbone",
        tmp_path / "checkpoint",
        "--augment",
        "none",
        "--epochs",
        60,
        "--patience",
        30,
        "--lr",
        "3e-3",
    ]
    assert learnt(command, IMAGE, data, tmp_path / "run", *flags) == labels


def test_every_family_has_a_network_here():
    from torchvision.models import get_model_builder

    from mmtransfer.backbones import text, vision_families

    checked = {get_model_builder(name).__module__ for name in IMAGES}
    assert checked == {family.__module__ for family in vision_families.FAMILIES}
    assert set(tiny.TEXTS) >= set(text.FAMILIES)


@pytest.mark.parametrize("name", tiny.TEXTS)
def test_sentences(name, command, tmp_path):
    from transformers import AutoConfig, BertTokenizerFast

    tiny.text(tmp_path)
    backbone = tmp_path / name
    AutoConfig.for_model(name, **tiny.text_shape(name, **TEXT_SIZE, pad_token_id=0)).save_pretrained(backbone)
    BertTokenizerFast(str(tmp_path / "bert" / "vocab.txt")).save_pretrained(backbone)
    with (tmp_path / "train.csv").open() as file:
        rows = list(csv.reader(file))[1 : N + 1]
    data = tmp_path / "few.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    flags = ["--backbone", backbone, "--max-length", 32, "--epochs", 60, "--lr", "3e-3", "--patience", 20]
    found = learnt(command, TEXT, data, tmp_path / "run", *flags)
    assert sum(one == label for one, (_, label) in zip(found, rows, strict=True)) / N >= 0.99


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm", "deepspeech"])
def test_recordings(name, command, tmp_path):
    from transformers import AutoConfig

    rng = np.random.default_rng(0)
    words = ["ab", "ba", "a", "b"]
    rows = [("file_name", "text")]
    for number in range(N):
        # a letter is a tone: a low, b high, with a pause between two
        text = words[number % 4]
        tones = [np.sin(np.arange(3200) * (0.1 if letter == "a" else 0.5)) for letter in text]
        pause = np.zeros(1600)
        samples = np.concatenate([pause, *(part for tone in tones for part in (tone, pause))])
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * samples + 0.02 * rng.normal(size=len(samples)), 16000)
        rows.append((f"{number}.wav", text))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    backbone: object = name
    if name != "deepspeech":
        backbone = tmp_path / name
        AutoConfig.for_model(name, **SPEECH_SHAPE).save_pretrained(backbone)
    flags = ["--backbone", backbone, "--mask-prob", 0, "--patience", 80]
    # Deep Speech has 30 million parameters: fewer, smaller steps
    flags += ["--epochs", 30, "--lr", "3e-4"] if name == "deepspeech" else ["--epochs", 160, "--lr", "3e-3"]
    found = learnt(command, SPEECH, tmp_path / "metadata.csv", tmp_path / "run", *flags)
    assert sum(one != text for one, (_, text) in zip(found, rows[1:], strict=True)) / N <= 0.05
