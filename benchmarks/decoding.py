"""Does drawing random crops from smaller pictures, decoded once, cost accuracy, and what does it save?

    python -m benchmarks.decoding [hymenoptera] [cifar10] [--kept 1 1.15 1.3] [--seeds 3] [--out FILE]

Trains the built-in backbone whole, with light augmentation, from files (`--cache off`) and from pictures whose shorter
side is KEPT times the training size, with the same seeds, data and order; crops lie elsewhere, as they are drawn by
the size of what is kept.
For each KEPT: accuracy on the same test pictures, the difference to that from files with its 95 % interval (by test
picture, the mean over all seeds), and seconds of training, decoding included. About a minute of a core a run.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet

import mmtransfer as mmt
from benchmarks import data_folder, one_of
from mmtransfer.engine import decoding
from mmtransfer.tasks.inputs import image

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
                "set": name,
                "kept": kept,
                "accuracy": float(right[number].mean()),
                "difference": float(differences.mean()),
                "half_width": half,
                "seconds": seconds[number],
                "seeds": seeds,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=one_of(SETS), default=list(SETS), help="all if none is named")
    parser.add_argument("--kept", nargs="+", type=float, default=[image.KEPT])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    rows = []
    for name in words.sets:
        rows += compare(name, words.kept, words.seeds)
        for row in rows[-1 - len(words.kept) :]:
            kept = "files" if row["kept"] is None else f"kept {row['kept']:g}"
            print(
                f"{name}, {kept}: {100 * row['accuracy']:.2f} %, {100 * row['difference']:+.2f} +- "
                f"{100 * row['half_width']:.2f} points, {row['seconds']:.0f} s a run",
                flush=True,
            )
    if words.out:
        words.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
