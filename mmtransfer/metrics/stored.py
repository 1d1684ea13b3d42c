"""Which metric gives a score of stored predictions, by the score's name: what runs are compared and repeated by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmtransfer.metrics.classification import F1, Accuracy, Precision, Recall, TopKAccuracy
from mmtransfer.metrics.crossed import Drawn
from mmtransfer.metrics.multilabel import MultiLabelF1, SubsetAccuracy
from mmtransfer.metrics.regression import MAE, MSE, R2, RMSE
from mmtransfer.metrics.spans import EntityF1, TagAccuracy, TagF1
from mmtransfer.metrics.streaming import Columns, StreamingMetric
from mmtransfer.metrics.transcription import CER, WER

Kind = type[StreamingMetric]
_KINDS: tuple[Kind, ...] = (
    *(Accuracy, TopKAccuracy, Precision, Recall, F1),
    *(MultiLabelF1, SubsetAccuracy),
    *(MSE, RMSE, MAE, R2),
    *(EntityF1, TagAccuracy, TagF1),
    *(WER, CER),
)
METRICS: Mapping[str, tuple[Kind, ...]] = {
    name: tuple(kind for kind in _KINDS if name in kind.stored) for own in _KINDS for name in own.stored
}
"""By name of a score, the metrics that give it: of F1 those of one label an example, and of several."""


def metric_of(name: str, predictions: Columns) -> Kind | None:
    """The metric that gives a score of this name for such predictions; None if there is none."""
    return next((kind for kind in METRICS.get(name, ()) if kind.reads(predictions)), None)


def drawn(name: str, runs: Sequence[Columns]) -> Drawn | None:
    """A score under other draws of the examples; None if it is not known how. `runs`: as `StreamingMetric.drawn`."""
    metric = metric_of(name, runs[0])
    return None if metric is None else metric.drawn(name, runs)
