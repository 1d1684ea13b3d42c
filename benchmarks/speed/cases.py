"""The cases: data, network, and who runs."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import minilm
from benchmarks.speed import ours, peers
from benchmarks.speed.pace import Pace, Train

MANY = 1000
"""Epochs of a contestant that is stopped; so long that every choice for long runs is made."""


@dataclass(frozen=True)
class Case:
    """A network on data."""

    name: str
    about: str
    contestants: Mapping[str, Train]
    steps: int
    """Of a round on a CPU; on a GPU 60."""
    metric: str = ""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def text(place: Path, whole: bool) -> Case:
    """BANKING77 with MiniLM, batch 32."""
    data = data_folder() / "banking77"
    with (data / "train.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    random.Random(0).shuffle(rows)
    for name, part in (("validation", rows[:256]), ("train", rows[256:])):
        with (place / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *part])
    settings = {
        "task": "text-classification",
        "train": str(place / "train.csv"),
        "validation": str(place / "validation.csv"),
        "test": str(data / "test.csv"),
        "backbone": minilm(),
        "strategy": "full",
        "batch_size": 32,
        "lr": 2e-4,
        "epochs": 1 if whole else MANY,
    }
    theirs = partial(_texts, str(place / "train.csv"), str(data / "test.csv"), 1 if whole else MANY)
    return Case("text", "MiniLM, BANKING77, batch 32", _named(settings, theirs), 60, "accuracy")


def _named(settings: Mapping[str, Any], theirs: Any) -> dict[str, Train]:
    """Ours by default and plain, Trainer twice, and the bare loop."""
    plain = {**settings, "precision": "fp32", "layout": "contiguous"}
    return {
        "ours": partial(ours.fit, settings),
        "ours, fp32": partial(ours.fit, plain),
        "Trainer, defaults": partial(theirs, {}),
        "Trainer, best": partial(theirs, None),
        "bare loop on our batches, fp32": partial(ours.bare, plain),
    }


def _texts(train: str, test: str, epochs: int, options: Mapping[str, Any] | None, pace: Pace) -> float:
    import datasets
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    rows = {
        name: datasets.Dataset.from_csv(path, keep_in_memory=True) for name, path in (("train", train), ("test", test))
    }
    texts, answers = (name for name in rows["train"].column_names[:2])
    labels = sorted(set(rows["train"][answers]))
    tokenizer = AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False)

    def encode(row: Mapping[str, Any]) -> dict[str, Any]:
        return {**tokenizer(row[texts], truncation=True, max_length=128), "labels": labels.index(row[answers])}

    encoded = {name: table.map(encode, remove_columns=table.column_names) for name, table in rows.items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm(), num_labels=len(labels), dtype=torch.float32, trust_remote_code=False
    )
    collate = DataCollatorWithPadding(tokenizer)

    @torch.inference_mode()
    def score(model: Any) -> float:
        right = 0
        for start in range(0, len(encoded["test"]), 64):
            batch = collate([encoded["test"][n] for n in range(start, min(start + 64, len(encoded["test"])))]).to(
                model.device
            )
            right += int((model(**batch).logits.argmax(1) == batch["labels"]).sum())
        return right / len(encoded["test"])

    chosen = peers.best(0) if options is None else options
    return peers.trainer(pace, model, encoded["train"], collate, 32, epochs, 5e-5, score, chosen)


def image(place: Path, whole: bool, arch: str = "mobilenet_v2") -> Case:
    """Pictures of hymenoptera, 224 pixels from JPEG, batch 32."""
    data = data_folder() / "hymenoptera"
    weights = str(data_folder() / "weights" / f"{arch}.safetensors")
    settings: dict[str, Any] = {
        "task": "image-classification",
        "train": str(data / "train"),
        "validation": str(data / "val"),
        "backbone": arch,
        "weights": weights if Path(weights).is_file() else "none",
        "strategy": "full",
        "batch_size": 32,
        "epochs": 1 if whole else MANY,
    }
    plain = {**settings, "precision": "fp32", "layout": "contiguous"}
    folder, given = str(data / "train"), weights if Path(weights).is_file() else None
    workers = cores() if cores() > 2 else 0
    contestants = {
        "ours": partial(ours.fit, settings),
        "ours, fp32": partial(ours.fit, plain),
        "classic loop": partial(peers.images, folder, arch, given, 32, False, workers),
        "classic loop, batch 4": partial(peers.images, folder, arch, given, 4, False, workers),
        "tuned loop": partial(peers.images, folder, arch, given, 32, True, workers),
        "bare loop on our batches, fp32": partial(ours.bare, plain),
    }
    return Case(arch, f"{arch}, hymenoptera, 224 px from JPEG, batch 32", contestants, 7)


def speech(place: Path, whole: bool) -> Case:
    """AN4 with the shape of wav2vec2-base, random weights, batch 8."""
    from transformers import Wav2Vec2Config

    Wav2Vec2Config().save_pretrained(place / "wav2vec2-base")
    data = data_folder() / "an4"
    settings = {
        "task": "speech-recognition",
        "train": str(data / "train"),
        "validation": str(data / "test"),
        "backbone": str(place / "wav2vec2-base"),
        "weights": "none",
        "strategy": "full",
        "batch_size": 8,
        "epochs": 1 if whole else MANY,
    }
    theirs = partial(_recordings, str(data / "train"), 1 if whole else MANY)
    return Case("speech", "shape of wav2vec2-base, AN4, batch 8", _named(settings, theirs), 5)


def _recordings(folder: str, epochs: int, options: Mapping[str, Any] | None, pace: Pace) -> float:
    import datasets
    import numpy as np
    import soundfile
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    with (Path(folder) / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    letters = ["<blank>", "|", *sorted({letter for row in rows for letter in row["text"].lower()} - {" "})]
    number = {letter: place for place, letter in enumerate(letters)} | {" ": 1}
    waves = []
    for row in rows:
        samples, _ = soundfile.read(Path(folder) / row["file_name"], dtype="float32")
        waves.append((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
    labels = [[number[letter] for letter in row["text"].lower()] for row in rows]
    columns = {"input_values": waves, "labels": labels, "length": [len(wave) for wave in waves]}
    table = datasets.Dataset.from_dict(columns).with_format("numpy")

    def collate(given: list[Mapping[str, Any]]) -> dict[str, Any]:
        pad = torch.nn.utils.rnn.pad_sequence
        inputs = pad([torch.as_tensor(np.asarray(one["input_values"], np.float32)) for one in given], batch_first=True)
        answers = [torch.as_tensor(np.asarray(one["labels"], np.int64)) for one in given]
        return {"input_values": inputs, "labels": pad(answers, batch_first=True, padding_value=-100)}

    model = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=len(letters), pad_token_id=0))
    chosen = peers.best(0) if options is None else options
    return peers.trainer(pace, model, table, collate, 8, epochs, 1e-4, lambda _: float("nan"), chosen)


CASES = {"text": text, "image": image, "resnet18": partial(image, arch="resnet18"), "speech": speech}
