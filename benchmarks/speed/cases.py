"""The cases: data, network, and who runs."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable, Mapping, Sequence
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
LONG = 2_000
"""Texts of many tokens that an epoch has."""
PICTURES = 2_048
"""That an epoch has on a GPU."""
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


def text(place: Path, whole: bool, tokens: int | None = None, base: bool = False) -> Case:
    """BANKING77 with MiniLM, or with the shape of BERT-base and random weights, batch 32.

    `tokens`: sentences of a class are joined until each text has so many; None leaves them as they are.
    """
    data = data_folder() / "banking77"
    with (data / "train.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    random.Random(0).shuffle(rows)
    epoch = rows[256:] if not whole or on_gpu() else rows[256 : 256 + SOME]
    if tokens:
        epoch = _joined(epoch[:LONG], tokens)
    backbone = str(_bert_base(place / "bert-base")) if base else minilm()
    for name, part in (("validation", rows[:256]), ("train", epoch)):
        with (place / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *part])
    settings = {
        "task": "text-classification",
        "train": str(place / "train.csv"),
        "validation": str(place / "validation.csv"),
        "test": str(data / "test.csv"),
        "backbone": backbone,
        **({"weights": "none"} if base else {}),
        "strategy": "full",
        "batch_size": 32,
        "lr": 2e-4,
        "epochs": 1 if whole else MANY,
    }
    theirs = partial(_texts, backbone, str(place / "train.csv"), str(data / "test.csv"), 1 if whole else MANY)
    contestants = _named(settings, theirs)
    contestants[COMPILED] = partial(theirs, {**_best(settings), "torch_compile": True})
    network, cut = "shape of BERT-base" if base else "MiniLM", f", {tokens} tokens" if tokens else ""
    about = f"{network}, BANKING77{cut}, batch 32, rate {settings['lr']:g} (Trainer, defaults: 0.00005)"
    name = f"bert-base{f'-{tokens}' if tokens else ''}" if base else "text"
    return Case(name, about, contestants, 2 if base else 50, "accuracy")


def _joined(rows: list[list[str]], tokens: int) -> list[list[str]]:
    """Texts of at least so many words, each of sentences of one class."""
    by_label: dict[str, list[str]] = {}
    for sentence, label in rows:
        by_label.setdefault(label, []).append(sentence)
    drawn, found = random.Random(1), []
    for sentence, label in rows:
        while len(sentence.split()) < tokens:
            sentence += " " + drawn.choice(by_label[label])
        found.append([sentence, label])
    return found


def _bert_base(place: Path) -> Path:
    """The shape of BERT-base with the tokenizer of MiniLM, which is BERT's."""
    from transformers import AutoTokenizer, BertConfig

    BertConfig().save_pretrained(place)
    AutoTokenizer.from_pretrained(minilm(), trust_remote_code=False).save_pretrained(place)
    return place


def _best(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Trainer's arguments at its best here: processes that load only where cores are idle, our rate where it is set."""
    rate = {"learning_rate": settings["lr"]} if "lr" in settings else {}
    return {**peers.best(4 if on_gpu() and cores() > 4 else 0), **rate}


PLAIN: Mapping[str, Any] = {"precision": "fp32", "layout": "contiguous", "graphs": "off", "cache": "off"}
"""Ours with every switch off."""


def _named(settings: Mapping[str, Any], theirs: Any) -> dict[str, Train]:
    """Ours by default and plain, Trainer twice, and the bare loop."""
    plain = {**settings, **PLAIN}
    return {
        "ours": partial(ours.fit, settings),
        PLAINLY: partial(ours.fit, plain),
        "Trainer, defaults": partial(theirs, {}),
        "Trainer, best": partial(theirs, _best(settings)),
        BARE: partial(ours.bare, plain),
    }


def _texts(backbone: str, train: str, test: str, epochs: int, options: Mapping[str, Any], pace: Pace) -> float:
    import datasets
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    rows = {
        name: datasets.Dataset.from_csv(path, keep_in_memory=True) for name, path in (("train", train), ("test", test))
    }
    texts, answers = (name for name in rows["train"].column_names[:2])
    labels = sorted(set(rows["train"][answers]))
    tokenizer = AutoTokenizer.from_pretrained(backbone, trust_remote_code=False)

    def encode(row: Mapping[str, Any]) -> dict[str, Any]:
        return {**tokenizer(row[texts], truncation=True, max_length=128), "labels": labels.index(row[answers])}

    encoded = {name: table.map(encode, remove_columns=table.column_names) for name, table in rows.items()}
    kind: Any = AutoModelForSequenceClassification
    if (Path(backbone) / "model.safetensors").exists():
        shape: dict[str, Any] = {"num_labels": len(labels), "dtype": torch.float32}
        model = kind.from_pretrained(backbone, trust_remote_code=False, **shape)
    else:
        config = AutoConfig.from_pretrained(backbone, num_labels=len(labels), trust_remote_code=False)
        model = kind.from_config(config, trust_remote_code=False)
    collate = DataCollatorWithPadding(tokenizer)

    @torch.inference_mode()
    def score(model: Any) -> float:
        right = 0
        for start in range(0, len(encoded["test"]), 64):
            some = [encoded["test"][number] for number in range(start, min(start + 64, len(encoded["test"])))]
            batch: Any = collate(some)
            batch = batch.to(model.device)
            right += int((model(**batch).logits.argmax(1) == batch["labels"]).sum())
        return right / len(encoded["test"])

    return peers.trainer(pace, model, encoded["train"], collate, 32, epochs, score, options)


def image(place: Path, whole: bool, arch: str = "mobilenet_v2", batch: int = 32) -> Case:
    """Pictures of hymenoptera, 224 pixels from JPEG; for a GPU more are made of them."""
    data = data_folder() / "hymenoptera"
    train = pictures(data / "train", place / "pictures", PICTURES) if on_gpu() else data / "train"
    weights = str(data_folder() / "weights" / f"{arch}.safetensors")
    settings: dict[str, Any] = {
        "task": "image-classification",
        "train": str(train),
        "validation_fraction": 0,  # an epoch has eight steps, and the peers do not validate
        "test": str(data / "val"),
        "backbone": arch,
        "weights": weights if Path(weights).is_file() else "none",
        "strategy": "full",
        "batch_size": batch,
        "epochs": 1 if whole else MANY,
    }
    given, workers = weights if Path(weights).is_file() else None, cores() if cores() > 2 else 0
    loop = partial(peers.images, str(train), str(data / "val"), arch, given)
    contestants: dict[str, Train] = {
        "ours": partial(ours.fit, settings),
        PLAINLY: partial(ours.fit, {**settings, **PLAIN}),
        "classic loop": partial(loop, batch, False, workers),
        "classic loop, batch 4": partial(loop, 4, False, workers),
        "tuned loop": partial(loop, batch, True, workers),
        BARE: partial(ours.bare, {**settings, **PLAIN}),
    }
    about = f"{arch}, hymenoptera, 224 px from JPEG, batch {batch}"
    return Case(
        arch if batch == 32 else f"{arch}-{batch}",
        about,
        contestants,
        2 if arch == "resnet50" else 4,
        "accuracy",
        steps=PICTURES // batch,
        times={"classic loop, batch 4": batch // 4 if not on_gpu() else 2},
    )


def pictures(source: Path, place: Path, count: int) -> Path:
    """A folder of so many pictures, cut from those of another at random and written as JPEG, if it is not there."""
    if place.exists():
        return place
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    paths = sorted(source.rglob("*.jpg"))
    assert paths, source

    def cut(number: int) -> None:
        path, drawn = paths[number % len(paths)], random.Random(number)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        width, height = (round(side * drawn.uniform(0.9, 1.0)) for side in picture.size)
        left, top = drawn.randint(0, picture.width - width), drawn.randint(0, picture.height - height)
        target = place / path.parent.name / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.crop((left, top, left + width, top + height)).save(target, quality=90)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(cut, range(count)))
    return place


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
        "decode": "greedy",
        "batch_size": 8,
        "epochs": 1 if whole else MANY,
    }
    shaped = {"layerdrop": 0.0, **own}  # ours drops none: a step of theirs is not to have fewer layers
    theirs = partial(_recordings, str(data / "train"), str(data / "test"), shaped, 1 if whole else MANY)
    name, about = "speech" if not own else shape, f"shape of {shape}, AN4, batch 8"
    return Case(name, about, _named(settings, theirs), 2 if not own else 8, "word error rate")


def _heard(folder: Path) -> tuple[list[Any], list[str]]:
    """Samples and transcripts of the recordings in a folder."""
    import numpy as np
    import soundfile

    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    waves = []
    for row in rows:
        samples, _ = soundfile.read(folder / row["file_name"], dtype="float32")
        waves.append((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
    return waves, [row["text"].lower() for row in rows]


def said(best: Any, letters: Sequence[str]) -> str:
    """The text of the best symbol of each frame (frames,); symbol 0 is CTC's blank, 1 the space."""
    return "".join(letters[number] for number in best.unique_consecutive().tolist() if number).replace("|", " ")


def _recordings(
    folder: str, test: str, shape: Mapping[str, Any], epochs: int, options: Mapping[str, Any], pace: Pace
) -> float:
    import datasets
    import numpy as np
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from mmtransfer.metrics import WER

    waves, texts = _heard(Path(folder))
    letters = ["<blank>", "|", *sorted({letter for text in texts for letter in text} - {" "})]
    number = {letter: place for place, letter in enumerate(letters)} | {" ": 1}
    labels = [[number[letter] for letter in text] for text in texts]
    columns = {"input_values": waves, "labels": labels, "length": [len(wave) for wave in waves]}
    table = datasets.Dataset.from_dict(columns).with_format("numpy")

    def collate(given: list[Mapping[str, Any]]) -> dict[str, Any]:
        pad = torch.nn.utils.rnn.pad_sequence
        inputs = pad([torch.as_tensor(np.asarray(one["input_values"], np.float32)) for one in given], batch_first=True)
        answers = [torch.as_tensor(np.asarray(one["labels"], np.int64)) for one in given]
        return {"input_values": inputs, "labels": pad(answers, batch_first=True, padding_value=-100)}

    model = Wav2Vec2ForCTC(Wav2Vec2Config(**{**shape, "vocab_size": len(letters), "pad_token_id": 0}))

    @torch.inference_mode()
    def score(model: Any) -> float:
        waves, texts = _heard(Path(test))
        inputs = (torch.as_tensor(wave, device=model.device)[None] for wave in waves)
        spoken = [said(model(wave).logits[0].argmax(-1), letters) for wave in inputs]
        return float(WER().compute(predictions=spoken, references=texts)["wer"])

    # without unused columns it would not have the lengths that it groups by
    kept = {"learning_rate": 1e-4, **options, "remove_unused_columns": False}
    return peers.trainer(pace, model, table, collate, 8, epochs, score, kept)


CASES: Mapping[str, Callable[[Path, bool], Case]] = {
    "text": text,
    "bert-base": partial(text, base=True),
    "bert-base-128": partial(text, base=True, tokens=128),
    "image": image,
    "resnet18": partial(image, arch="resnet18"),
    "resnet50": partial(image, arch="resnet50"),
    "resnet50-128": partial(image, arch="resnet50", batch=128),
    "speech": speech,
    "wav2vec2-fast": partial(speech, shape="wav2vec2-fast"),
}
