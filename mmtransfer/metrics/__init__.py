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
from mmtransfer.metrics.multilabel import MultiLabelF1, SubsetAccuracy
from mmtransfer.metrics.regression import MAE, MSE, R2, RMSE
from mmtransfer.metrics.retrieval import RetrievalRecall, nearest
from mmtransfer.metrics.transcription import CER, WER, Edits, align

__all__ = [
    "CER",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "WER",
    "Accuracy",
    "ConfusionMatrix",
    "Edits",
    "Margins",
    "MultiLabelF1",
    "Precision",
    "Recall",
    "RetrievalRecall",
    "Score",
    "StreamingMetric",
    "SubsetAccuracy",
    "TopKAccuracy",
    "align",
    "cells_bootstrap",
    "jackknife",
    "nearest",
    "wilson",
]
