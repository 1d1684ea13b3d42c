"""The cases: data, network, and who runs."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import data_folder
from benchmarks.compute_once import minilm
from benchmarks.speed import ours, peers
from benchmarks.speed.pace import Pace, Train

SOME = 1_600
"""Sentences of a whole epoch on a CPU: as many as either side sorts by length at a time."""
PLAINLY, BARE = "ours, fp32, switches off", "bare loop on our batches, fp32"
COMPILED = "Trainer, best, torch_compile"
MANY = 1000
"""Epochs of a contestant that is stopped; so long that every choice for long runs is made."""


@dataclass(frozen=True)
class Case:
    """A network on data."""

    name: str
    about: str
    contestants: Mapping[str, Train]
    steps_on_cpu: int
    """Of a round on a CPU."""
    metric: str = ""
    steps: int = 60
    """Of a round on a GPU."""
    times: Mapping[str, int] = field(default_factory=dict)
    """By contestant whose batches are smaller, how many more steps a round of its has."""


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def cores() -> int:
    return len(os.sched_getaffinity(0))


def text(place: Path, whole: bool) -> Case:
    """BANKING77 with MiniLM, batch 32."""
    data = data_folder() / "banking77"
    with (data / "train.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    random.Random(0).shuffle(rows)
    epoch = rows[256:] if not whole or on_gpu() else rows[256 : 256 + SOME]
    for name, part in (("validation", rows[:256]), ("train", epoch)):
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
    contestants = _named(settings, theirs)
    if on_gpu():  # on 2 cores the compiler has not come to the end of two steps in four minutes
        contestants[COMPILED] = partial(theirs, {**peers.best(0), "torch_compile": True})
    return Case("text", "MiniLM, BANKING77, batch 32", contestants, 50, "accuracy")


PLAIN: Mapping[str, Any] = {"precision": "fp32", "layout": "contiguous", "graphs": "off", "cache": "off"}
"""Ours with every switch off."""


def _named(settings: Mapping[str, Any], theirs: Any) -> dict[str, Train]:
    """Ours by default and plain, Trainer twice, and the bare loop."""
    plain = {**settings, **PLAIN}
    return {
        "ours": partial(ours.fit, settings),
        PLAINLY: partial(ours.fit, plain),
        "Trainer, defaults": partial(theirs, {}),
        "Trainer, best": partial(theirs, peers.best(0)),
        BARE: partial(ours.bare, plain),
    }


def _texts(train: str, test: str, epochs: int, options: Mapping[str, Any], pace: Pace) -> float:
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

    return peers.trainer(pace, model, encoded["train"], collate, 32, epochs, 5e-5, score, options)


def image(place: Path, whole: bool, arch: str = "mobilenet_v2") -> Case:
    """Pictures of hymenoptera, 224 pixels from JPEG, batch 32."""
    data = data_folder() / "hymenoptera"
    weights = str(data_folder() / "weights" / f"{arch}.safetensors")
    settings: dict[str, Any] = {
        "task": "image-classification",
        "train": str(data / "train"),
        "validation_fraction": 0,  # an epoch has eight steps, and the peers do not validate
        "test": str(data / "val"),
        "backbone": arch,
        "weights": weights if Path(weights).is_file() else "none",
        "strategy": "full",
        "batch_size": 32,
        "epochs": 1 if whole else MANY,
    }
    folder, given = str(data / "train"), weights if Path(weights).is_file() else None
    workers = cores() if cores() > 2 else 0
    contestants: dict[str, Train] = {
        "ours": partial(ours.fit, settings),
        PLAINLY: partial(ours.fit, {**settings, **PLAIN}),
        "classic loop": partial(peers.images, folder, arch, given, 32, False, workers),
        "classic loop, batch 4": partial(peers.images, folder, arch, given, 4, False, workers),
        "tuned loop": partial(peers.images, folder, arch, given, 32, True, workers),
        BARE: partial(ours.bare, {**settings, **PLAIN}),
    }
    about, steps = f"{arch}, hymenoptera, 224 px from JPEG, batch 32", 2 if arch == "resnet50" else 4
    return Case(arch, about, contestants, steps, times={"classic loop, batch 4": 8})


def speech(place: Path, whole: bool, shape: str = "wav2vec2-base") -> Case:
    """AN4 with a shape of wav2vec2, random weights, batch 8."""
    from transformers import Wav2Vec2Config

    from mmtransfer.backbones.speech import SHAPES

    own = SHAPES.get(shape, {})
    Wav2Vec2Config(**own).save_pretrained(place / shape)
    data = data_folder() / "an4"
    settings = {
        "task": "speech-recognition",
        "train": str(data / "train"),
        "validation": str(data / "test"),
        "backbone": str(place / shape),
        "weights": "none",
        "strategy": "full",
        "batch_size": 8,
        "epochs": 1 if whole else MANY,
    }
    theirs = partial(_recordings, str(data / "train"), own, 1 if whole else MANY)
    return Case(
        "speech" if not own else shape, f"shape of {shape}, AN4, batch 8", _named(settings, theirs), 2 if not own else 8
    )


def _recordings(folder: str, shape: Mapping[str, Any], epochs: int, options: Mapping[str, Any], pace: Pace) -> float:
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

    model = Wav2Vec2ForCTC(Wav2Vec2Config(**{**shape, "vocab_size": len(letters), "pad_token_id": 0}))
    kept = {**options, "remove_unused_columns": False}  # the lengths that it groups by
    return peers.trainer(pace, model, table, collate, 8, epochs, 1e-4, lambda _: float("nan"), kept)


CASES: Mapping[str, Callable[[Path, bool], Case]] = {
    "text": text,
    "image": image,
    "resnet18": partial(image, arch="resnet18"),
    "resnet50": partial(image, arch="resnet50"),
    "speech": speech,
    "wav2vec2-fast": partial(speech, shape="wav2vec2-fast"),
}
