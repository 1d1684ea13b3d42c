"""Small valid inputs of every kind, which the fuzz harness mutates."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import soundfile
from PIL import Image

from mmtransfer.config import IMAGE, SPEECH, TEXT

KINDS = ("pictures", "audio", "tables", "folders", "runs", "checkpoints")
FIT = ("--epochs", "1", "--threads", "1", "--workers", "0", "--cache", "off", "--batch-size", "4", "--seed", "0")
BACKBONES: dict[str, tuple[str, ...]] = {
    IMAGE: ("--backbone", "builtin", "--image-size", "16", "--augment", "none"),
    TEXT: ("--backbone", "{corpus}/weights/bert", "--max-length", "16"),
    SPEECH: ("--backbone", "{corpus}/weights/wav2vec2"),
}
"""By task, the flags of a backbone that is made in no time."""


@dataclass(frozen=True)
class Item:
    """Something to mutate: `path`, a file or folder below the corpus; the `task` that reads it."""

    kind: str
    path: str
    task: str


def build(folder: Path, kinds: Collection[str], isolated: Callable[[Callable[[], None]], None]) -> None:
    """Writes what these kinds need and is not there.

    `isolated` calls a function in another process: training leaves threads behind, and a process that has threads must
    not be forked.
    """
    mine = {"pictures": {IMAGE}, "audio": {SPEECH}, "tables": {TEXT}}
    tasks = set[str]().union(*(mine.get(kind, {IMAGE, TEXT, SPEECH}) for kind in kinds))
    parts: dict[str, Callable[[], None]] = {
        "folders": lambda: _folders(folder / "folders"),
        "tables": lambda: _tables(folder / "tables"),
        "pictures": lambda: _pictures(folder / "pictures"),
        "audio": lambda: _audio(folder / "audio"),
        "bert": lambda: isolated(lambda: _bert(folder / "weights")),
        "wav2vec2": lambda: isolated(lambda: _wav2vec2(folder / "weights")),
    }
    for task in sorted(tasks):
        parts[f"runs-{task}"] = lambda task=task: isolated(lambda: _run(folder, task))  # type: ignore[misc]
        if "checkpoints" in kinds:
            parts[f"checkpoints-{task}"] = lambda task=task: isolated(lambda: _stopped(folder, task))  # type: ignore[misc]
    for name, make in parts.items():
        if not (folder / "made" / name).exists():
            make()
            (folder / "made").mkdir(parents=True, exist_ok=True)
            (folder / "made" / name).touch()


def items(folder: Path, kind: str) -> list[Item]:
    """Everything of a kind that can be mutated, in a fixed order."""
    found: list[Item] = []
    for place in (kind, "weights") if kind == "runs" else (kind,):
        for path in sorted((folder / place).iterdir()):
            if path.name.startswith("."):  # the weights that runs share
                continue
            beginning = path.name.split("-")[0].split(".")[0]
            task = {"image": IMAGE, "text": TEXT, "bert": TEXT}.get(beginning, SPEECH)
            found.append(Item(kind, f"{place}/{path.name}", task))
    return found


def good(task: str) -> str:
    """Data of a task that is as it should be."""
    return {
        IMAGE: "{corpus}/folders/image-classes",
        TEXT: "{corpus}/tables/text.csv",
        SPEECH: "{corpus}/folders/speech-beside",
    }[task]


def _pictures(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    rgb = Image.fromarray(pixels)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    makers: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "grey.png": (rgb.convert("L"), {}),
        "alpha.png": (rgb.convert("RGBA"), {}),
        "palette.png": (rgb.convert("P"), {"transparency": 0}),
        "deep.png": (deep, {}),
        "bits.png": (rgb.convert("1"), {}),
        "plain.jpg": (rgb, {}),
        "turned.jpg": (rgb, {"exif": turned}),
        "cmyk.jpg": (rgb.convert("CMYK"), {"progressive": True}),
        "moving.gif": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        "plain.bmp": (rgb, {}),
        "lzw.tiff": (rgb, {"compression": "tiff_lzw"}),
        "float.tiff": (Image.fromarray(pixels[..., 0].astype(np.float32)), {}),
        "plain.webp": (rgb, {"exif": turned}),
        "plain.ppm": (rgb, {}),
    }
    for name, (image, options) in makers.items():
        for label in "ab":
            place = folder / f"image-{name.replace('.', '-')}" / label / name
            place.parent.mkdir(parents=True)
            image.save(place, **options)


def _audio(folder: Path) -> None:
    formats = [
        ("wav", "PCM_16", 16000, 1),
        ("wav", "PCM_24", 44100, 2),
        ("wav", "FLOAT", 8000, 1),
        ("wav", "ULAW", 11025, 1),
        ("flac", "PCM_16", 22050, 1),
        ("ogg", "VORBIS", 16000, 1),
        ("ogg", "OPUS", 48000, 1),
        ("mp3", "MPEG_LAYER_III", 16000, 1),
        ("aiff", "PCM_16", 16001, 1),
        ("au", "PCM_16", 16000, 1),
        ("caf", "PCM_16", 16000, 1),
        ("w64", "PCM_16", 16000, 1),
    ]
    for suffix, subtype, rate, channels in formats:
        place = folder / f"speech-{suffix}-{subtype.lower()}"
        place.mkdir(parents=True)
        for number in range(2):
            _clip(place / f"clip{number}.{suffix}", rate, channels, subtype)


def _clip(path: Path, rate: int = 16000, channels: int = 1, subtype: str | None = None) -> None:
    samples = np.random.default_rng(len(path.name)).normal(size=(rate // 5, channels)) * 0.1
    soundfile.write(path, samples, rate, subtype=subtype)
    path.with_suffix(".txt").write_text("ab a")


def _tables(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [{"text": f"{'abcdefgh'[n % 8]} {'ijkl'[n % 4]}", "label": "xy"[n % 2], "number": n} for n in range(12)]
    cells = [[str(value) for value in row.values()] for row in rows]
    for name, mark in (("text.csv", ","), ("text.tsv", "\t")):
        lines = [mark.join(line) for line in [list(rows[0]), *cells]]
        (folder / name).write_text("\n".join(lines) + "\n")
    quoted = "\r\n".join(["text;label", *(f'"{text}; ""so"" \n";{label}' for text, label, _ in cells)])
    (folder / "text-quoted.csv").write_text(quoted, encoding="utf-16")
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "text.json").write_text(json.dumps(rows, indent=1))
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["x", "y"]), number=datasets.Value("int64")
    )
    saved = datasets.Dataset.from_list(rows, features=features)
    saved.to_parquet(str(folder / "text.parquet"))
    saved.save_to_disk(str(folder / "text-saved"))
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(str(folder / "text-parts"))
    plain = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    pyarrow.parquet.write_table(plain, folder / "text-plain.parquet", compression="none")


def _folders(folder: Path) -> None:
    generator = np.random.default_rng(1)
    for place in ("image-classes/a", "image-classes/b", "image-table", "image-linked/a", "image-linked/pool"):
        (folder / place).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / place / f"{number}.png")
    lines = ["file_name,label", *(f"{number}.png,{'ab'[number % 2]}" for number in range(4))]
    (folder / "image-table" / "metadata.csv").write_text("\n".join(lines) + "\n")
    (folder / "image-linked" / "b").symlink_to("pool")
    (folder / "image-linked" / "a" / "again").symlink_to("..")
    for place in ("speech-beside", "speech-table"):
        (folder / place / "inner").mkdir(parents=True)
        for number in range(4):
            _clip(folder / place / "inner" / f"{number} é.wav")
    lines = ["file_name,text,speaker,start,end"]
    lines += [f"inner/{number} é.wav,ab a,s{number % 2},0.0,0.1{number}" for number in range(4)]
    (folder / "speech-table" / "metadata.csv").write_text("\n".join(lines) + "\n")


_TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def _bert(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    (folder / "bert").mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123))]
    vocabulary = folder / "bert" / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder / "bert")
    BertModel(BertConfig(vocab_size=31, max_position_embeddings=40, **_TINY)).save_pretrained(folder / "bert")


def _wav2vec2(folder: Path) -> None:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    layers = {"conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 2), "conv_stride": (5, 2, 2)}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer"}
    Wav2Vec2Model(Wav2Vec2Config(**_TINY, **layers, **positions)).save_pretrained(folder / "wav2vec2")


def _fit(folder: Path, task: str, out: Path, *more: str) -> None:
    from mmtransfer import cli

    words = ["fit", task, "--train", good(task), "--validation", good(task), "--test", good(task), *BACKBONES[task]]
    cli.main([word.format(corpus=folder) for word in [*words, *FIT, "--out", str(out), *more]])


def _run(folder: Path, task: str) -> None:
    strategy = "full" if task == SPEECH else "linear-probe"
    _fit(folder, task, folder / "runs" / task, "--strategy", strategy)


def _stopped(folder: Path, task: str) -> None:
    """A run that was stopped after its fourth step."""
    out = folder / "checkpoints" / task

    def stop() -> None:
        log = out / "log.jsonl"
        while not log.exists() or log.read_text().count("\n") < 4:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    every = ("--epochs", "8", "--checkpoint-every", "2", "--log-every", "1")
    with suppress(SystemExit):  # as a stopped run ends
        _fit(folder, task, out, "--strategy", "full", *every)
    if not (out / "checkpoints").is_dir():
        raise RuntimeError(f"{out} was not stopped in time")
