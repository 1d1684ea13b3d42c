"""Scores with intervals: streaming `evaluate.Metric`s that keep counts and need neither network nor disk.

Names load at first use (PEP 562): evaluate and scipy take seconds to import, and a prediction needs no score.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmtransfer.metrics.calibration import ECE, NLL, Brier, of_probabilities
    from mmtransfer.metrics.classification import (
        F1,
        Accuracy,
        ConfusionMatrix,
        Precision,
        Recall,
        TopKAccuracy,
    )
    from mmtransfer.metrics.confusions import word_errors
    from mmtransfer.metrics.edits import Edits, align, pairs
    from mmtransfer.metrics.intervals import Margins, Score, cells_bootstrap, jackknife, wilson
    from mmtransfer.metrics.multilabel import MultiLabelF1, SubsetAccuracy
    from mmtransfer.metrics.regression import MAE, MSE, R2, RMSE
    from mmtransfer.metrics.retrieval import RetrievalRecall, nearest
    from mmtransfer.metrics.spans import EntityF1, TagAccuracy, TagF1
    from mmtransfer.metrics.streaming import StreamingMetric
    from mmtransfer.metrics.transcription import CER, WER

_MODULES = {
    "calibration": ("ECE", "NLL", "Brier", "of_probabilities"),
    "classification": ("F1", "Accuracy", "ConfusionMatrix", "Precision", "Recall", "TopKAccuracy"),
    "confusions": ("word_errors",),
    "edits": ("Edits", "align", "pairs"),
    "intervals": ("Margins", "Score", "cells_bootstrap", "jackknife", "wilson"),
    "multilabel": ("MultiLabelF1", "SubsetAccuracy"),
    "regression": ("MAE", "MSE", "R2", "RMSE"),
    "retrieval": ("RetrievalRecall", "nearest"),
    "spans": ("EntityF1", "TagAccuracy", "TagF1"),
    "streaming": ("StreamingMetric",),
    "transcription": ("CER", "WER"),
}
_OWNER = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "CER",
    "ECE",
    "F1",
    "MAE",
    "MSE",
    "NLL",
    "R2",
    "RMSE",
    "WER",
    "Accuracy",
    "Brier",
    "ConfusionMatrix",
    "Edits",
    "EntityF1",
    "Margins",
    "MultiLabelF1",
    "Precision",
    "Recall",
    "RetrievalRecall",
    "Score",
    "StreamingMetric",
    "SubsetAccuracy",
    "TagAccuracy",
    "TagF1",
    "TopKAccuracy",
    "align",
    "cells_bootstrap",
    "jackknife",
    "nearest",
    "of_probabilities",
    "pairs",
    "wilson",
    "word_errors",
]


def __getattr__(name: str) -> Any:
    if name not in _OWNER:
        raise AttributeError(f"module 'mmtransfer.metrics' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"mmtransfer.metrics.{_OWNER[name]}"), name)


def __dir__() -> list[str]:
    return __all__
