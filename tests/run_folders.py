"""Run folders as `fit` leaves them, written by hand: they take no training, and hold what a test wants them to."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.metrics import Score, wilson

TARGETS = {IMAGE: "single-label", TEXT: "single-label", AUDIO: "single-label"}


def write(
    folder: Path,
    task: str,
    columns: Mapping[str, Sequence[Any]],
    scores: Mapping[str, Score],
    labels: Sequence[str] = (),
    result: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A finished run with these predictions on its test data; `labels`: of its outputs; `result`: over result.json."""
    (folder / "predictions").mkdir(parents=True)
    config = {"task": task, "strategy": "full", "seed": 0, "train": "gone.csv", "test": "gone.csv", "out": str(folder)}
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    primary = next(iter(scores))
    split = {"n": len(columns["id"]), "fingerprint": "f" * 32, "skipped": []}
    said = {
        "program": "mmtransfer",
        "schema": 2,
        "status": "finished",
        "task": task,
        "seed": 0,
        "command": ["mmtransfer", "fit", task],
        "started": "2026-01-02T03:04:05Z",
        "seconds": {"total": 61.0, "train": 50.0, "evaluate": 5.0},
        "data": {"train": {**split, "source": "train.csv"}, "test": {**split, "source": "test.csv"}},
        "findings": [],
        "backbone": {"name": "tiny", "source": "builtin", "sha256": "0" * 64, "parameters": 1_234_567},
        "parameters": {"total": 1_234_567, "trainable": 770},
        "phases": [],
        "throughput": {"examples_per_second": 12.34},
        "memory": {"peak_bytes": 2**30},
        "metrics": {"test": {name: score.as_dict() for name, score in scores.items()}},
        "primary": {"name": primary, "split": "test", "value": scores[primary].value},
        "warnings": [],
    }
    (folder / "result.json").write_text(json.dumps({**said, **(result or {})}))
    pyarrow.parquet.write_table(pa.table(dict(columns)), folder / "predictions" / "test.parquet")
    if labels:
        (folder / "model").mkdir()
        (folder / "model" / "task.json").write_text(json.dumps({"task": task, "state": {"labels": list(labels)}}))
    return folder


def classified(
    folder: Path,
    task: str,
    labels: Sequence[str],
    ids: Sequence[str],
    targets: Sequence[str],
    share: float = 0.7,
    seed: int = 0,
    stored: bool = True,
    **settings: Any,
) -> Path:
    """A run that is right on about `share` of these examples; wrong answers are often the next class. `stored`: whether
    all its logits are, of which there may be millions, or the best five."""
    draw = np.random.default_rng(seed)
    classes, n = len(labels), len(ids)
    true = np.array([labels.index(target) for target in targets])
    wrong = np.where(draw.random(n) < 0.6, (true + 1) % classes, draw.integers(classes, size=n))
    answer = np.where(draw.random(n) < share, true, wrong)
    logits = draw.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), answer] = logits.max(1) + draw.exponential(1.5, n)
    order = np.argsort(-logits, 1)[:, :5]
    sums = np.log(np.exp(logits).sum(1))
    columns = {
        "id": list(ids),
        "target": list(targets),
        "prediction": [labels[number] for number in answer],
        "top5": [[labels[number] for number in row] for row in order],
        "logits": list(logits),
        "loss": (sums - logits[np.arange(n), true]).tolist(),
    }
    if not stored:
        columns |= {"logits": list(np.take_along_axis(logits, order, 1)), "log_sum": sums.tolist()}
    scores = {"accuracy": wilson(int((answer == true).sum()), n), "f1_macro": Score(0.5, 0.4, 0.6, n, "by hand")}
    return write(folder, task, columns, scores, labels, **settings)


def texts(folder: Path, labels: Sequence[str], n: int = 200, **settings: Any) -> Path:
    """A run on texts in test.csv beside it; `labels` may hold anything, and so do the texts."""
    import csv

    folder.mkdir(parents=True, exist_ok=True)
    targets = [labels[number % len(labels)] for number in range(n)]
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    rows = [(f"{' '.join(words[: 1 + number % 8])} number {number}", target) for number, target in enumerate(targets)]
    for split in ("train", "test"):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    data = {split: str(folder / f"{split}.csv") for split in ("train", "test")}
    result = settings.pop("result", {})
    return classified(
        folder / "run", TEXT, labels, [str(n) for n in range(n)], targets, **data, **settings, result=result
    )


def pictures(folder: Path, labels: Sequence[str], n: int, size: int = 12, **settings: Any) -> Path:
    """A run on pictures of noise in class folders beside it."""
    draw = np.random.default_rng(0)
    targets = [labels[number % len(labels)] for number in range(n)]
    ids = [f"{target}/{number}.png" for number, target in enumerate(targets)]
    kinds = []
    for _ in range(8):
        buffer = io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (size, size + 4, 3), dtype=np.uint8)).save(buffer, "PNG")
        kinds.append(buffer.getvalue())
    for label in labels:
        (folder / "test" / label).mkdir(parents=True)
    for number, id in enumerate(ids):
        (folder / "test" / id).write_bytes(kinds[number % 8])
    data = {"train": str(folder / "test"), "test": str(folder / "test")}
    return classified(folder / "run", IMAGE, labels, ids, targets, **data, **settings)


def heard(folder: Path, n: int = 24) -> Path:
    """A run on recordings of noise of three speakers, beside it, some of them heard wrong."""
    import soundfile

    draw = np.random.default_rng(0)
    place = folder / "test"
    place.mkdir(parents=True)
    said = ["the cat sat down", "a dog", "one two three four five"]
    answers = ["the cat sad", "a dog", "one too three four five six"]
    lines = ["file_name,text,speaker"]
    for number in range(n):
        soundfile.write(place / f"{number:02}.wav", draw.normal(size=4000 + 200 * number) * 0.1, 16000)
        lines.append(f"{number:02}.wav,{said[number % 3]},s{number % 3}")
    (place / "metadata.csv").write_text("\n".join(lines) + "\n")
    columns: dict[str, list[Any]] = {
        "id": [f"{number:02}.wav" for number in range(n)],
        "target": [said[number % 3] for number in range(n)],
        "prediction": [answers[number % 3] for number in range(n)],
        "speaker": [f"s{number % 3}" for number in range(n)],
        "confidence": [0.5 + number / 100 for number in range(n)],
    }
    edits = [(1, 1, 0), (0, 0, 0), (1, 0, 1)]
    for place_, kind in enumerate(("substitutions", "deletions", "insertions")):
        columns[kind] = [edits[number % 3][place_] for number in range(n)]
    columns["words"] = [len(text.split()) for text in columns["target"]]
    wrong = sum(sum(edits[number % 3]) for number in range(n))
    scores = {"wer": Score(wrong / sum(columns["words"]), 0.1, 0.6, sum(columns["words"]), "by hand")}
    return write(folder / "run", SPEECH, columns, scores, train=str(place), test=str(place))


def tagged(folder: Path, n: int = 60, sure: float = 0.75) -> Path:
    """A run on lists of words, whose data are gone; `sure`: the confidence of each word, 0: not stored."""
    truths = [["O", "B-place", "I-place"], ["B-name", "O"], ["O", "O", "O"]]
    answers = [["O", "B-place", "O"], ["B-place", "O"], ["O", "O", "O"]]
    columns = {
        "id": [f"{number:03}" for number in range(n)],
        "target": [truths[number % 3] for number in range(n)],
        "prediction": [answers[number % 3] for number in range(n)],
        "confidence": [0.9] * n,
    }
    if sure:
        columns["confidences"] = [[sure] * len(own) for own in columns["target"]]
    labels = ["B-name", "B-place", "I-name", "I-place", "O"]
    return write(folder, TAGS, columns, {"entity_f1": Score(0.4, 0.3, 0.5, n, "by hand")}, labels)


def several(folder: Path, n: int = 90) -> Path:
    """A run of several labels an example, whose data are gone."""
    draw = np.random.default_rng(1)
    names = ["ant", "bee", "fly"]
    there = draw.random((n, 3)) < 0.5
    logits = np.where(there ^ (draw.random((n, 3)) < 0.2), 1.0, -1.0).astype(np.float32)
    columns = {
        "id": [f"{number:03}" for number in range(n)],
        "target": [[name for name, own in zip(names, row, strict=True) if own] for row in there],
        "prediction": [[name for name, own in zip(names, row, strict=True) if own > 0] for row in logits],
        "logits": list(logits),
        "loss": [0.3] * n,
    }
    types = {"target": pa.list_(pa.string()), "prediction": pa.list_(pa.string())}
    typed = {name: pa.array(values, types[name]) if name in types else values for name, values in columns.items()}
    return write(folder, TEXT, typed, {"f1_micro": Score(0.8, 0.7, 0.9, n, "by hand")}, names, target="multi-label")


def valued(folder: Path, n: int = 90) -> Path:
    """A run of numbers, whose data are gone."""
    draw = np.random.default_rng(2)
    truths = draw.normal(size=n)
    answers = truths + 0.3 * draw.normal(size=n)
    columns = {"id": [f"{number:03}" for number in range(n)], "target": truths.tolist(), "prediction": answers.tolist()}
    return write(folder, TEXT, columns, {"r2": Score(0.9, 0.85, 0.95, n, "by hand")}, target="regression")
