"""The built-in speech backbone: CTC on synthesised English speech.

    python -m benchmarks.pretrain.speech make          # the corpus, runs/pretrain/speech/{train,validation}
    python -m benchmarks.pretrain.speech train         # runs/pretrain/speech/run; the same command goes on with it
    python -m benchmarks.pretrain.speech pack          # mmtransfer/builtin/speech/
    python -m benchmarks.pretrain.speech hold-out      # held_out.txt, when the data it is measured on change

Needs espeakng-loader. `make` gives the same corpus to the bit for the same seed, espeak-ng and Python; nothing recorded
from people is in it, and no transcript of three or more words that the data sets it is measured on have.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data_folder
from benchmarks.pretrain.utterances import HELD_OUT

PLACE = Path("runs") / "pretrain" / "speech"
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
    synthesiser, writer, degrade = Synthesiser(number), Writer(random), Degrader(random)
    part = f"{number:02d}"
    (folder / part).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str]] = []
    total = 0.0
    count = -1
    while total < seconds:
        count += 1
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
    return rows


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


def pack(place: Path, measured: Sequence[Path]) -> None:
    """The run's backbone and CTC head as the built-in ones; the card tells the scores of the runs in `measured`."""
    from mmtransfer.backbones import builtin, carried, weights

    run = place / "run"
    backbone = weights.read_model(run / "model")
    backbone.name, backbone.source = "builtin", "builtin:speech"
    symbols, ctc = carried.vocabulary(str(run))
    print(builtin.pack(backbone, "speech", card(place, measured), ctc, symbols))


def hold_out(data: Path) -> list[str]:
    """Digests of the transcripts that the pretraining must not have, sorted."""
    from benchmarks.pretrain.utterances import digest
    from mmtransfer.data import builtin

    texts = [
        text
        for table in builtin.load_builtin("commands", "audio", "transcript").values()
        for text in table.column("transcript")
    ]
    for part in ("an4/train", "an4/test", "fsdd/train", "fsdd/test"):
        with (data / part / "metadata.csv").open(encoding="utf-8") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    return sorted({digest(" ".join(text.lower().split())) for text in texts} - {""})


def card(place: Path, measured: Sequence[Path]) -> str:
    """The model card, from the corpus and the run folders."""
    rows = list(csv.DictReader((place / "train" / "metadata.csv").open(encoding="utf-8")))
    config = json.loads((place / "run" / "config.json").read_text())
    result = json.loads((place / "run" / "result.json").read_text())
    phase, data = result["phases"][0], result["data"]
    wer = result["metrics"]["validation"]["wer"]
    lines = [
        "# Speech backbone",
        "",
        f"A Wav2Vec2 encoder of {result['backbone']['parameters']:,} parameters (shape `{SHAPE}`): samples at 16 kHz, "
        "normalised per recording, to 50 frames a second.",
        "",
        f"- Learned by CTC from {len(rows):,} synthesised recordings of {len({row['speaker'] for row in rows})} "
        "voices (espeak-ng), with rooms, noise and telephone bands added: spelled words, numbers, dates, names, "
        "addresses, stretches of the docstrings of Python's standard library. No recording of a person.",
        f"- {phase['epochs']} epochs of {data['train']['n']:,} recordings, {phase['steps']:,} steps of "
        f"{config['batch_size']}, {result['seconds']['train'] / 60:.0f} minutes on {os.cpu_count()} CPU cores. Made by "
        "`python -m benchmarks.pretrain.speech make`, `train`, `pack`.",
        f"- Word error rate on {data['validation']['n']} synthesised recordings by voices it did not learn from: "
        f"{_score(wer)}.",
        *(f"- Fine-tuned on {name}: {score}." for name, score in map(_measured, measured)),
        "- Licence: Apache-2.0, as the rest of the package.",
    ]
    return "\n".join(lines) + "\n"


def _measured(folder: Path) -> tuple[str, str]:
    config = json.loads((folder / "config.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    wer = result["metrics"]["test"]["wer"]
    name = Path(str(config["train"])).parent.name or str(config["train"])
    return f"{name} ({config['epochs']} epochs, rate {config['lr']})", f"test word error rate {_score(wer)}"


def _score(metric: dict[str, Any]) -> str:
    return f"{metric['value']:.3f} (95 % interval {metric['low']:.3f} to {metric['high']:.3f})"


def main() -> None:
    """`make`, `train`, `pack` or `hold-out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, default=PLACE, help="folder of corpus and run")
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make")
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--hours", type=float, default=12.0)
    training = verbs.add_parser("train")
    training.add_argument("--epochs", type=int, default=3)
    training.add_argument("--batch-size", type=int, default=24)
    training.add_argument("--lr", type=float, default=1e-3)
    training.add_argument("--warmup", type=float, default=0.08)
    training.add_argument("--mask-prob", type=float, default=0.03)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--max-minutes", type=float, default=None)
    packing = verbs.add_parser("pack")
    packing.add_argument("measured", type=Path, nargs="*", help="finished fine-tuning runs, for the card")
    verbs.add_parser("hold-out")
    given = vars(parser.parse_args())
    verb, place = given.pop("verb"), given.pop("place")
    if verb == "make":
        make(given["seed"], given["hours"], place)
    elif verb == "train":
        train(given, place)
    elif verb == "hold-out":
        HELD_OUT.write_text("\n".join(hold_out(data_folder())) + "\n")
    else:
        pack(place, given["measured"])


if __name__ == "__main__":
    main()
