"""Scores with intervals: streaming `evaluate.Metric`s that keep counts and need neither network nor disk."""

from __future__ import annotations

from mmtransfer.metrics.classification import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Precision,
    Recall,
    StreamingMetric,
    TopKAccuracy,
)
from mmtransfer.metrics.intervals import Margins, Score, cells_bootstrap, jackknife, wilson
from mmtransfer.metrics.retrieval import RetrievalRecall, nearest
from mmtransfer.metrics.transcription import CER, WER, Edits, align

__all__ = [
    "CER",
    "F1",
    "WER",
    "Accuracy",
    "ConfusionMatrix",
    "Edits",
    "Margins",
    "Precision",
    "Recall",
    "RetrievalRecall",
    "Score",
    "StreamingMetric",
    "TopKAccuracy",
    "align",
    "cells_bootstrap",
    "jackknife",
    "nearest",
    "wilson",
]
