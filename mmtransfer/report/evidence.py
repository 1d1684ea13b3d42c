"""What is known of a run: its settings, its result, what it predicted, and the inputs that this was about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmtransfer import documents
from mmtransfer.config import TASKS, RunConfig, make
from mmtransfer.errors import MMTransferError
from mmtransfer.report.answers import Answers
from mmtransfer.report.inputs import Inputs, find, training_classes
from mmtransfer.run import RunFolder

KINDS: Mapping[str, str] = {
    "single-label": "label",
    "multi-label": "labels",
    "regression": "value",
    "transcript": "transcript",
    "tags": "tags",
}
"""By target, the kind of its answers."""


@dataclass(frozen=True)
class Evidence:
    """A run that has begun, as its folder tells of it; nothing of its model is loaded."""

    place: RunFolder
    config: RunConfig
    settings: Mapping[str, Any]
    """config.json as it stands."""
    result: Mapping[str, Any]
    split: str
    """The data that the predictions are of, test or validation; empty where there are none."""
    records: Mapping[str, list[Any]]
    """Columns of the predictions, sorted by id, but the logits; none where there are none."""
    missing: str
    """Why there are no predictions; empty where there are."""
    data: Any = None
    """The data that the predictions are of, where they no longer lie where the run read them."""
    names: list[str] = field(default_factory=list)
    """All labels that the run knows, in the order of its outputs; none where it knows none."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.place.path.resolve().name

    @property
    def task(self) -> str:
        return str(self.result["task"])

    @property
    def input(self) -> str:
        """The kind of what the model sees: image, audio, text or words."""
        return TASKS[self.task].input

    @property
    def kind(self) -> str:
        """The kind of the answers: label, labels, value, transcript or tags."""
        targets = TASKS[self.task].targets
        return KINDS[self.config.target if self.config.target in targets else targets[0]]

    @property
    def primary(self) -> str:
        """The metric that the run is judged by; empty where it has not been scored."""
        return str((self.result.get("primary") or {}).get("name") or "")

    @property
    def scores(self) -> Mapping[str, Any]:
        """All scores on the data that the predictions are of."""
        return dict((self.result.get("metrics") or {}).get(self.split) or {})

    @property
    def ids(self) -> list[str]:
        return list(self.records.get("id", ()))

    @cached_property
    def logits(self) -> np.ndarray | None:
        """float32 (n, outputs), in the order of `ids`; None where they are not stored."""
        import pyarrow
        import pyarrow.parquet

        path = self.place.predictions(self.split)
        try:
            if "logits" not in pyarrow.parquet.read_schema(path).names:
                return None
            column = pyarrow.parquet.read_table(path, columns=["id", "logits"]).sort_by("id")["logits"]
            rows = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return np.asarray(rows, np.float32).reshape(len(column), -1)
        except (OSError, ValueError, pyarrow.ArrowException):
            return None

    @cached_property
    def answers(self) -> Answers | None:
        """The answers, right and wrong; None where there are no predictions."""
        from mmtransfer.report import answers

        return answers.of(self) if self.records else None

    @cached_property
    def inputs(self) -> Inputs:
        """What the predictions are of, found again."""
        return find(self.config, self.kind, self.input, self.split, self.records, self.data)

    @cached_property
    def class_sizes(self) -> Mapping[str, int] | None:
        """By class, how many training examples it had; None where that is not known any more."""
        held: list[str] = []
        if self.place.predictions("validation").exists():
            try:
                held = self.place.read_predictions("validation", without=("logits",))["id"]
            except MMTransferError:
                return None
        return training_classes(self.config, self.kind, self.input, self.result, held)


def gather(folder: str | Path, data: Any = None) -> Evidence:
    """What the folder of a run tells. `data`: where the data that it was scored on lie now, if they have moved.

    Raises MMTransferError for a folder that is no run, or whose run has left no result.
    """
    place = RunFolder(Path(folder))
    result, settings = place.read_result(), place.read_config()
    config = make(settings, str(place.config))
    split, records, missing = _predictions(place, result)
    return Evidence(place, config, settings, result, split, records, missing, data, _names(place))


def _predictions(place: RunFolder, result: Mapping[str, Any]) -> tuple[str, Mapping[str, list[Any]], str]:
    """The split, its records, and why there are none."""
    chosen = (result.get("primary") or {}).get("split")
    splits = [split for split in dict.fromkeys((chosen, "test", "validation")) if split]
    there = [split for split in splits if place.predictions(split).exists()]
    if not there:
        status = result["status"]
        if status != "finished":
            return "", {}, f"The run has not finished: its status is {status}."
        return "", {}, "The run has no predictions: the folder predictions/ is missing or empty."
    try:
        records = place.read_predictions(there[0], without=("logits",), needed=("id", "prediction", "target"))
    except MMTransferError as error:
        return "", {}, f"{error.what}."
    return there[0], records, ""


def _names(place: RunFolder) -> list[str]:
    """Labels as model/task.json has them; none where it cannot be read, or has none."""
    try:
        described = documents.read_json(place.model / "task.json", {"state": {"labels?": [str]}})
    except (OSError, ValueError):
        return []
    return list(described["state"].get("labels", ()))
