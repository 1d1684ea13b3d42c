"""Each task on a few real examples, through the command line, the run folder and predict; minutes each."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmtransfer.config import IMAGE, SPEECH, TEXT

pytestmark = [pytest.mark.real, pytest.mark.slow]
CLASSIC = Path(__file__).parent.parent / "recipes" / "classic_vgg16.json"


def command(*words: object) -> str:
    line = [sys.executable, "-m", "mmtransfer", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def predicted(run: Path, source: Path, out: Path) -> dict[str, str]:
    command("predict", run, source, "--out", out)
    with out.open(newline="") as file:
        return {row["id"]: row["label"] for row in csv.DictReader(file)}


def test_images_overfit(data_folder, tmp_path):
    for label in ("ants", "bees"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for file in sorted((data_folder / "hymenoptera" / "train" / label).iterdir())[:16]:
            shutil.copy(file, tmp_path / "data" / label)
    data, weights = tmp_path / "data", data_folder / "weights" / "squeezenet1_1.safetensors"
    flags = ["--train", data, "--validation", data, "--backbone", "squeezenet1_1", "--weights", weights]
    command("fit", IMAGE, *flags, "--epochs", 12, "--lr", 3e-4, "--augment", "none", "--out", tmp_path / "run")
    found = predicted(tmp_path / "run", data, tmp_path / "out.csv")
    assert len(found) == 32
    assert sum(name.split("/")[0] == label for name, label in found.items()) / 32 >= 0.99


def test_texts_overfit(data_folder, minilm, tmp_path):
    with (data_folder / "banking77" / "train.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    names = sorted({label for _, label in rows[1:]})[:4]
    few = [row for name in names for row in [row for row in rows[1:] if row[1] == name][:8]]
    data = tmp_path / "few.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *few])
    flags = ["--train", data, "--validation", data, "--backbone", minilm, "--epochs", 20, "--lr", 2e-4]
    command("fit", TEXT, *flags, "--batch-size", 8, "--out", tmp_path / "run")
    found = predicted(tmp_path / "run", data, tmp_path / "out.csv")
    assert sum(found[str(number)] == label for number, (_, label) in enumerate(few)) / 32 >= 0.99


def test_speech_overfits(data_folder, tmp_path):
    with (data_folder / "fsdd" / "train" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::85][:32]
    data = tmp_path / "few"
    data.mkdir()
    with (data / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "text", "speaker"])
        for number, row in enumerate(rows):
            shutil.copy(data_folder / "fsdd" / "train" / row["file_name"], data / f"{number}.flac")
            writer.writerow([f"{number}.flac", row["text"], row["speaker"]])
    flags = [
        "--train",
        data,
        "--validation",
        data,
        "--test",
        data,
        "--backbone",
        "wav2vec2-small",
        "--strategy",
        "scratch",
    ]
    training = ["--epochs", 250, "--batch-size", 8, "--lr", 1e-3, "--mask-prob", 0, "--patience", 60]
    command("fit", SPEECH, *flags, *training, "--out", tmp_path / "run")
    found = predicted(tmp_path / "run", data, tmp_path / "out.csv")
    wrong = sum(found[f"{number}.flac"] != row["text"] for number, row in enumerate(rows))
    assert len(rows) == 32 and wrong / 32 <= 0.05


def test_the_classic_configuration_runs(data_folder, tmp_path):
    train, test = data_folder / "hymenoptera" / "train", data_folder / "hymenoptera" / "val"
    flags = ["--config", CLASSIC, "--train", train, "--test", test, "--weights", "none", "--epochs", 1]
    command("fit", IMAGE, *flags, "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    classic = json.loads(CLASSIC.read_text()) | {"epochs": 1}
    assert {name: config[name] for name in classic} == classic
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    for split in ("validation", "test"):
        assert {"accuracy", "recall_macro", "f1_macro"} <= metrics[split].keys()
