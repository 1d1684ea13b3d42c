"""Are pretrained features good neighbours? Recall@k of image retrieval, pretrained beside random weights.

    python -m benchmarks.retrieval     # needs $MMTRANSFER_DATA; 3 minutes of a core; writes results/retrieval.json

Each picture of the test part looks for the nearest ones of the training part by the cosine of their pooled
mobilenet_v2 features; nothing is trained, and no test picture is in the gallery. Recall@k is the share of queries with
a picture of their class among the first k, with Wilson's 95 % interval. Guessing by class size would be right in the
column `chance` for k = 1. Digits are 8 x 8 pixels, shown at 64; ants and bees at 224.

On digits random weights win: equal digits are alike pixel by pixel, and random layers keep that. Only the other set
says something about transfer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data_folder
from mmtransfer import embed
from mmtransfer.data import builtin, sources
from mmtransfer.data.table import Table
from mmtransfer.metrics import RetrievalRecall, Score, nearest

PAGE = Path(__file__).parent / "results" / "retrieval.json"
BACKBONE, KS = "mobilenet_v2", (1, 5, 10)


def hymenoptera(data: Path) -> dict[str, tuple[Any, Table]]:
    """By part, what `embed` reads and the table with the labels."""
    places = {"train": data / "hymenoptera" / "train", "test": data / "hymenoptera" / "val"}
    return {part: (place, sources.load(place, "image")) for part, place in places.items()}


def digits() -> dict[str, tuple[Any, Table]]:
    """As `hymenoptera`, of the handwritten digits."""
    return {part: ("builtin:digits", table) for part, table in builtin.load_builtin("digits", "image").items()}


def measure(parts: dict[str, tuple[Any, Table]], weights: str, size: int) -> dict[str, Any]:
    """Recall@k of the test part in the training part, and what chance gives."""
    values, labels = {}, {}
    for part, (source, table) in parts.items():
        features = embed(BACKBONE, source, split=part, weights=weights, image_size=size)
        known = dict(zip(table.ids, table.column("label"), strict=True))
        values[part], labels[part] = features.values, np.array([known[name] for name in features.ids])
    metric = RetrievalRecall(KS)
    ranked = nearest(values["test"], values["train"], max(KS))
    metric.add_batch(predictions=labels["train"][ranked], references=labels["test"])
    chance = float(np.mean([(labels["train"] == label).mean() for label in labels["test"]]))
    return {name: score.as_dict() for name, score in metric.scores().items()} | {"chance": chance}


def table(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown."""
    lines = [f"| data | weights | {' | '.join(f'recall@{k}' for k in KS)} | chance |", "|---|---|---|---|---|---|"]
    for data, variants in found.items():
        for weights, scores in variants.items():
            shown = [f"{Score.of(scores[f'recall_at_{k}']):.3f}" for k in KS]
            lines.append(f"| {data} | {weights} | {' | '.join(shown)} | {scores['chance']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measures both data sets with both weights."""
    folder = data_folder()
    weights = {"ImageNet": str(folder / "weights" / f"{BACKBONE}.safetensors"), "random": "none"}
    sets = {"digits": (digits(), 64), "hymenoptera": (hymenoptera(folder), 224)}
    found = {
        name: {kind: measure(parts, file, size) for kind, file in weights.items()}
        for name, (parts, size) in sets.items()
    }
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
