"""Features and classes of small real sets, computed once, for measurements of exact heads.

    python -m benchmarks.probe_sets       # needs $MMTRANSFER_DATA, see benchmarks/data.md; ten minutes of a core

Written to runs/probe_sets; what is there is not computed again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compute_once import minilm
from mmtransfer.probe import Rows

FOLDER = Path("runs") / "probe_sets"


@dataclass(frozen=True)
class Features:
    """Of a set: float32 (n, width) and class numbers (n,), to train on and to test with."""

    train: torch.Tensor
    classes: torch.Tensor
    test: torch.Tensor
    answers: torch.Tensor

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1

    def rows(self, places: np.ndarray) -> Rows:
        """These training examples as the solver takes them."""
        picked = torch.from_numpy(places)
        return Rows([self.train[picked]], [self.classes[picked]], "classes", self.outputs)


def sets() -> dict[str, dict[str, Any]]:
    """By name, settings of `fit`."""
    data = Path(os.environ.get("MMTRANSFER_DATA", ""))

    def texts(name: str) -> dict[str, Any]:
        files = {"train": str(data / name / "train.csv"), "test": str(data / name / "test.csv")}
        return {"task": "text-classification", "backbone": minilm(), **files}

    def recordings(column: str) -> dict[str, Any]:
        folders = {"train": str(data / "fsdd" / "train"), "test": str(data / "fsdd" / "test")}
        return {"task": "audio-classification", "backbone": "builtin", "label_column": column, **folders}

    pictures = {"task": "image-classification", "backbone": "builtin", "crop_pct": 1.0}
    cifar = {"train": str(data / "cifar10" / "train.parquet"), "test": str(data / "cifar10" / "test.parquet")}
    return {
        "SST-2": texts("sst2"),
        "TREC": texts("trec"),
        "library": {"task": "text-classification", "backbone": "builtin", "train": "builtin:library"},
        "digits": {**pictures, "train": "builtin:digits", "image_size": 64},
        "FSDD digit": recordings("text"),
        "FSDD speaker": recordings("speaker"),
        "CIFAR-10": {**pictures, **cifar, "image_size": 64, "fraction": 0.1},
        "BANKING77": texts("banking77"),
    }


def load(name: str) -> Features:
    """The features of a set, computed at the first call."""
    place = FOLDER / f"{name.replace(' ', '-')}.npz"
    if not place.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        np.savez(place, **_computed(sets()[name]))
    found = np.load(place)
    return Features(*(torch.from_numpy(found[part]) for part in ("train", "classes", "test", "answers")))


def _computed(settings: dict[str, Any]) -> dict[str, np.ndarray]:
    from mmtransfer.engine import processes
    from mmtransfer.engine.features import features_of_splits
    from mmtransfer.engine.machine import Machine
    from mmtransfer.preparation import prepare
    from mmtransfer.resolution import resolve

    config = resolve(**settings, strategy="linear-probe", strategy_options={"folds": 5}, precision="fp32", cache="off")
    machine = Machine.set_up(config, processes.accelerator())
    prepared = prepare(config, machine)
    model, found = prepared.model.eval(), dict[str, np.ndarray]()
    model.backbone.freeze(range(len(model.backbone.stages)))
    features = features_of_splits(model, prepared.splits.by_name(), machine, model.end, prepared.cache)
    splits = prepared.splits.with_states(features, model.task).by_name()
    for split, names in (("train", ("train", "classes")), ("test", ("test", "answers"))):
        stored = splits[split].stored
        assert stored is not None and isinstance(stored.targets, torch.Tensor)
        found |= {names[0]: stored.features.matrix().float().numpy(), names[1]: stored.targets.numpy()}
    return found


if __name__ == "__main__":
    for name in sets():
        features = load(name)
        print(name, tuple(features.train.shape), tuple(features.test.shape), features.outputs, "classes", flush=True)
