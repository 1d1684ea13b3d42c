"""The score that a run is judged by, of some of its examples, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmtransfer.metrics import crossed, stored
from mmtransfer.metrics.intervals import Score, wilson
from mmtransfer.metrics.transcription import WER

RATES = ("wer", "cer")
"""Scores whose intervals are by speaker or recording."""


def score_of(metric: str, records: Mapping[str, Sequence[Any]], right: np.ndarray, rows: np.ndarray) -> Score | None:
    """The score of these rows; None where it is not known how to make it of stored predictions.

    `right`: bool (n,), whether each answer is right; `rows`: int64, places in the records.
    """
    if not len(rows):
        return None
    if metric == "accuracy":
        return wilson(int(right[rows].sum()), len(rows))
    part = {name: [values[row] for row in rows.tolist()] for name, values in records.items()}
    if metric == "wer":
        rate = WER()
        rate.add_batch(predictions=part["prediction"], references=part["target"], groups=part.get("speaker"))
        return rate.scores()["wer"] if any(text.split() for text in part["target"]) else None
    try:
        drawn = stored.drawn(metric, [part])
    except KeyError:  # an older version has not stored what this score is made of
        return None
    if drawn is None:
        return None
    value = float(drawn.statistic(np.ones((1, drawn.units)))[0, 0])
    if not np.isfinite(value):
        return None
    if drawn.units < 2:
        return Score(value, None, None, len(rows), "one example")
    low, high = crossed.crossed(drawn.statistic, drawn.units, 1, drawn.share, drawn.lowest)
    return Score(value, low, high, len(rows), drawn.method)


def higher_is_better(metric: str, records: Mapping[str, list[Any]]) -> bool:
    """The direction of a score."""
    kind = stored.metric_of(metric, records)
    return True if kind is None else bool(kind.higher_is_better)


NAMES = {
    "accuracy": "accuracy",
    "f1_macro": "F1, mean over classes",
    "f1_micro": "F1 of all labels",
    "f1_weighted": "F1, weighted",
    "top5_accuracy": "top-5 accuracy",
    "subset_accuracy": "all labels right",
    "wer": "word error rate",
    "cer": "character error rate",
    "r2": "R²",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "entity_f1": "F1 of entities",
    "entity_precision": "precision of entities",
    "entity_recall": "recall of entities",
    "tag_accuracy": "accuracy of tags",
    "tag_f1_macro": "F1, mean over tags",
    "ece": "expected calibration error",
    "nll": "negative log-likelihood",
    "brier": "Brier score",
}
"""What scores are called on the page."""
SAID = {
    "macro": "mean over classes",
    "micro": "of all decisions",
    "weighted": "weighted by class",
    "greedy": "without the language model",
    "raw": "of transcripts as they were written",
}
"""What the ends of other names say."""


def called(metric: str) -> str:
    """A score's name in words."""
    base, _, rest = metric.rpartition("_")
    if metric not in NAMES and rest in SAID:
        return f"{called(base)}, {SAID[rest]}"
    return NAMES.get(metric, metric.replace("_", " "))
