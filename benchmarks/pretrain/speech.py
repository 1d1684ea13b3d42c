"""The built-in speech backbone: CTC on synthesised English speech.

    python -m benchmarks.pretrain.speech make          # the corpus, runs/pretrain/speech/{train,validation}
    python -m benchmarks.pretrain.speech train         # runs/pretrain/speech/run; the same command goes on with it
    python -m benchmarks.pretrain.speech pack          # mmtransfer/builtin/wav2vec2/

Needs espeakng-loader. `make` gives the same corpus to the bit for the same seed, espeak-ng and Python; nothing recorded
from people is in it, and no transcript of three or more words that the data sets it is measured on have.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

PLACE = Path("runs") / "pretrain" / "speech"
PACKAGE = Path(__file__).parents[2] / "mmtransfer" / "builtin" / "wav2vec2"
SHAPE = "wav2vec2-fast"
SHARDS = 8
LONGEST = 10.0
"""Seconds of the longest recording that is kept."""


def shard(folder: Path, seed: int, number: int, seconds: float, validation: bool) -> list[tuple[str, str, str]]:
    """Recordings of about `seconds` in all; the rows (file_name, text, speaker). In a fresh process (see espeak.py)."""
    import soundfile

    from benchmarks.pretrain.degrade import RATE, Degrader
    from benchmarks.pretrain.espeak import ACCENTS, VALIDATION_VARIANTS, Manner, Synthesiser, training_variants
    from benchmarks.pretrain.utterances import Writer

    random = np.random.Generator(np.random.Philox([seed, number + SHARDS * validation]))
    variants = VALIDATION_VARIANTS if validation else training_variants()
    synthesiser, writer, degrade = Synthesiser(), Writer(random), Degrader(random)
    part = f"{number:02d}"
    (folder / part).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str]] = []
    total = 0.0
    for count in itertools.count():
        if total >= seconds:
            return rows
        voice = f"{ACCENTS[int(random.integers(len(ACCENTS)))]}+{variants[int(random.integers(len(variants)))]}"
        manner = Manner(
            rate=int(np.clip(random.lognormal(np.log(175), 0.25), 100, 320)),
            pitch=int(random.integers(15, 86)),
            range=int(random.integers(15, 91)),
            gap=int(random.integers(5, 25)) if random.random() < 0.2 else 0,
        )
        said = writer.draw()
        wave = degrade(synthesiser.say(said.spoken, voice, manner), synthesiser.sample_rate)
        if 0.25 < len(wave) / RATE <= LONGEST:
            name = f"{part}/{count:05d}.flac"
            soundfile.write(folder / name, wave, RATE, subtype="PCM_16")
            rows.append((name, said.text, voice))
            total += len(wave) / RATE
    raise AssertionError


def corpus(folder: Path, seed: int, seconds: float, validation: bool) -> list[tuple[str, str, str]]:
    """All shards, each in a process of its own, and metadata.csv."""
    jobs = [(folder, seed, number, seconds / SHARDS, validation) for number in range(SHARDS)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(SHARDS, os.cpu_count() or 1), maxtasksperchild=1) as pool:
        rows = [row for part in pool.starmap(shard, jobs, chunksize=1) for row in part]
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "text", "speaker"), *rows])
    return rows


def make(seed: int, hours: float, place: Path) -> None:
    """The corpus: `hours` for training and four minutes, by other voices, for validation."""
    for part, seconds in (("train", 3600 * hours), ("validation", 240.0)):
        rows = corpus(place / part, seed, seconds, part == "validation")
        print(f"{part}: {len(rows)} recordings, {len({row[2] for row in rows})} voices", flush=True)


def train(settings: dict[str, Any], place: Path) -> None:
    """One run of mmtransfer, or the rest of it."""
    from mmtransfer import fit

    out = place / "run"
    if (out / "config.json").exists():
        fit(task="speech-recognition", resume=True, out=str(out), max_minutes=settings["max_minutes"])
        return
    fit(
        task="speech-recognition",
        train=str(place / "train"),
        validation=str(place / "validation"),
        backbone=SHAPE,
        strategy="scratch",
        precision="bf16",
        optimizer="adamw",
        momentum=0.9,
        weight_decay=0.01,
        schedule="cosine",
        micro_batch_seconds=32.0,
        checkpoint_every=100,
        log_every=20,
        workers=0,
        out=str(out),
        **settings,
    )


def pack(place: Path, target: Path) -> None:
    """The run's backbone in float16 with its description, digest and card."""
    import hashlib

    import torch
    from safetensors.torch import load_file, save_file

    model = place / "run" / "model"
    target.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.to(torch.float16).contiguous() for name, value in load_file(model / "backbone.safetensors").items()
    }
    save_file(tensors, target / "backbone.safetensors")
    shutil.copyfile(model / "backbone.json", target / "backbone.json")
    digest = hashlib.sha256((target / "backbone.safetensors").read_bytes()).hexdigest()
    (target / "sha256").write_text(f"{digest}  backbone.safetensors\n")
    print(json.dumps({"tensors": len(tensors), "bytes": (target / "backbone.safetensors").stat().st_size}))


def main() -> None:
    """`make`, `train` or `pack`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "train", "pack"))
    parser.add_argument("--place", type=Path, default=PLACE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=float, default=0.08)
    parser.add_argument("--mask-prob", type=float, default=0.03)
    parser.add_argument("--max-minutes", type=float, default=None)
    given = vars(parser.parse_args())
    verb, place, hours = given.pop("verb"), given.pop("place"), given.pop("hours")
    if verb == "make":
        make(given["seed"], hours, place)
    elif verb == "train":
        train(given, place)
    else:
        pack(place, PACKAGE)


if __name__ == "__main__":
    main()
