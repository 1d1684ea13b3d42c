"""What a run keeps, as frames of pandas, which is imported where somebody asks for one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtransfer.config import RunConfig
from mmtransfer.errors import MMTransferError
from mmtransfer.run import RunFolder
from mmtransfer.tasks import TASKS

if TYPE_CHECKING:
    import pandas

HISTORY = ("step", "phase", "epoch", "loss", "lr", "examples_per_second", "stall_share", "memory_bytes")
"""Columns of a run's history: those of log.jsonl."""


def predictions(folder: RunFolder, result: Mapping[str, Any], config: RunConfig, split: str) -> pandas.DataFrame:
    """Stored predictions, a row an example, sorted by id; `score`, the probability of the answer, where there is one
    class each.

    Raises MMTransferError for a split that the run was not scored on.
    """
    import pandas

    frame = pandas.DataFrame(folder.read_predictions(_scored(folder, result, split)))
    if "logits" in frame and _is_of_classes(config):
        logits = [np.asarray(row, np.float64) for row in frame["logits"]]
        sums = frame.get("log_sum", [np.logaddexp.reduce(row) for row in logits])
        scores = [float(np.exp(row.max() - total)) for row, total in zip(logits, sums, strict=True)]
        frame.insert(frame.columns.get_loc("prediction") + 1, "score", scores)
    return frame


def history(folder: RunFolder) -> pandas.DataFrame:
    """The lines of log.jsonl, a row each; empty where the head was found exactly, without steps."""
    import pandas

    lines = folder.log.read_text(encoding="utf-8").splitlines() if folder.log.exists() else []
    frame = pandas.DataFrame([json.loads(line) for line in lines])
    return frame if len(frame) else pandas.DataFrame(columns=list(HISTORY))


def confusion(folder: RunFolder, result: Mapping[str, Any], config: RunConfig) -> pandas.DataFrame:
    """How many examples of each class (rows) got each answer (columns): of the test data, of validation where there
    are none.

    Raises MMTransferError where an example has not one class.
    """
    import pandas

    split = result["primary"]["split"]
    state = folder.read(folder.model / "task.json", {"state": {}})["state"]
    if not _is_of_classes(config) or "labels" not in state:
        raise MMTransferError(
            "Only one class an example makes a confusion matrix",
            str(folder.path),
            f"run.to_frame({split!r}) has every answer beside its target",
        )
    stored = folder.read_predictions(_scored(folder, result, split), without=("logits", "loss"))
    counts = pandas.crosstab(
        pandas.Series(stored["target"], name="target"), pandas.Series(stored["prediction"], name="prediction")
    )
    return counts.reindex(index=state["labels"], columns=state["labels"], fill_value=0)


def _is_of_classes(config: RunConfig) -> bool:
    """Whether an answer is one class."""
    return TASKS[config.task].target(config).kind == "label"


def _scored(folder: RunFolder, result: Mapping[str, Any], split: str) -> str:
    """The split, which must be one that the run has scores of."""
    if split not in result["metrics"]:
        there = ", ".join(result["metrics"]) or "none: it had neither validation nor test data"
        raise MMTransferError(f"The run has no predictions on {split}", str(folder.path), f"there are those on {there}")
    return split
