"""Does drawing random crops from smaller pictures, decoded once, cost accuracy, and what does it save?

    python -m benchmarks.decoding [hymenoptera] [cifar10] [--kept 1 1.15 1.3] [--seeds 3]

Trains the built-in backbone whole, with light augmentation, from files (`--cache off`) and from pictures whose shorter
side is KEPT times the training size, with the same seeds, data and order; crops lie elsewhere, as they are drawn by
the size of what is kept.
For each KEPT: accuracy on the same test pictures, the difference to that from files with its 95 % interval (by test
picture, the mean over all seeds), and seconds of training, decoding included. About a minute of a core a run.
With both sets benchmarks/decoding.md is written.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet

import mmtransfer as mmt
from benchmarks import data_folder, one_of
from mmtransfer.engine import decoding
from mmtransfer.tasks.inputs import image

PAGE = Path(__file__).parent / "decoding.md"
TOLD = (
    "`python -m benchmarks.decoding`. The built-in backbone trained whole, random crops drawn from the files or from"
    " pictures decoded once, whose shorter side is so many times the training size. Accuracy on the same test pictures,"
    " means of {seeds} seeds; the difference with its 95 % interval over test pictures. On one core, in fp32;"
    " torch {torch}."
)
TRAIN, TEST = 1500, 2000
"""Pictures of CIFAR-10 that are used."""


def hymenoptera(place: Path) -> dict[str, Any]:
    """244 photographs of 256 pixels and more, at 64."""
    data = data_folder() / "hymenoptera"
    return {"train": str(data / "train"), "test": str(data / "val"), "image_size": 64, "epochs": 12}


def cifar10(place: Path) -> dict[str, Any]:
    """Pictures of 32 pixels, at 24."""
    paths = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        (source,) = (data_folder() / "cifar10").rglob(f"{split}*.parquet")
        paths[split] = str(place / f"{split}.parquet")
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(source).slice(0, count), paths[split])
    return {**paths, "image_size": 24, "crop_pct": 1.0, "epochs": 8}


SETS = {"hymenoptera": hymenoptera, "cifar10": cifar10}


def train(settings: Mapping[str, Any], seed: int, kept: float | None, place: Path) -> tuple[np.ndarray, float]:
    """Whether each test picture was told right, and seconds; `kept` None: from files."""
    fixed = {"backbone": "builtin", "strategy": "full", "augment": "light", "precision": "fp32", "threads": 1}
    options = {"cache": "off"} if kept is None else {"cache_dir": str(place / "cache")}
    out = place / f"{seed}-{kept}"
    with mock.patch.object(decoding, "SAVED", -math.inf), mock.patch.object(image, "KEPT", kept or image.KEPT):
        run = mmt.fit(task="image-classification", seed=seed, out=str(out), **fixed, **options, **settings)
    assert bool(run.result["cache"]["decoded"]) == (kept is not None)
    found = pyarrow.parquet.read_table(run.folder.predictions("test")).to_pydict()
    seconds = run.result["seconds"]["train"] + run.result["seconds"].get("cache", 0.0)
    shutil.rmtree(place / "cache", ignore_errors=True)
    return np.array(found["prediction"]) == np.array(found["target"]), seconds


def compare(name: str, factors: Sequence[float], seeds: int) -> list[dict[str, Any]]:
    """A row for each factor."""
    place = Path(tempfile.mkdtemp(prefix="decoding-"))
    try:
        settings = SETS[name](place)
        ways: list[float | None] = [None, *factors]
        runs = [[train(settings, seed, kept, place) for seed in range(seeds)] for kept in ways]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    right = [np.stack([answers for answers, _ in own]).astype(float) for own in runs]
    seconds = [sum(spent for _, spent in own) / seeds for own in runs]
    rows = []
    for number, kept in enumerate(ways):
        # a picture's mean over the seeds: answers to one picture are not independent
        differences = (right[number] - right[0]).mean(0)
        half = 1.96 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
        rows.append(
            {
                "kept": kept,
                "accuracy": float(right[number].mean()),
                "difference": float(differences.mean()),
                "half_width": half,
                "seconds": seconds[number],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=one_of(SETS), default=list(SETS), help="all if none is named")
    parser.add_argument("--kept", nargs="+", type=float, default=[image.KEPT])
    parser.add_argument("--seeds", type=int, default=3)
    words = parser.parse_args()
    lines = [
        "# Pictures decoded once",
        "",
        *textwrap.wrap(TOLD.format(seeds=words.seeds, torch=version("torch")), 120),
        "",
    ]
    lines += ["| | accuracy, % | difference to files, points | a run, s |", "|---|---|---|---|"]
    for name in words.sets:
        for row in compare(name, words.kept, words.seeds):
            kept = "from files" if row["kept"] is None else f"kept at {row['kept']:g}"
            apart = "" if row["kept"] is None else f"{100 * row['difference']:+.2f} +- {100 * row['half_width']:.2f}"
            lines.append(f"| {name}, {kept} | {100 * row['accuracy']:.2f} | {apart} | {row['seconds']:.0f} |")
            print(lines[-1], flush=True)
    if set(words.sets) == set(SETS):
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
