"""Which winners of a search are trained on all data at the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mmtransfer.config import SPEECH, TEXT
from mmtransfer.resolution import complete
from mmtransfer.search import refitting


def facts(train: int, validation: int) -> Any:
    return SimpleNamespace(examples={"train": train, "validation": validation})


@pytest.mark.parametrize("task, few, many", [(TEXT, 100 / 90, 5000 / 4500), (SPEECH, 0.0, 0.0)])
def test_of_few_all_of_the_training_again_of_many_its_last_epochs(task: str, few: float, many: float) -> None:
    """Transcripts keep their validation data, which choose the language model at the end."""
    config = complete({"task": task, "train": "-"})
    assert refitting.times(config, facts(90, 10)) == few and refitting.wider(config, facts(90, 10)) == 0
    assert refitting.wider(config, facts(4500, 500)) == many and refitting.times(config, facts(4500, 500)) == 0


@pytest.mark.parametrize("settings", [{"validation": "x"}, {"shots": 5}, {"fraction": 0.1}])
def test_who_has_said_which_data_are_for_what_is_heeded(settings: dict[str, Any]) -> None:
    config = complete({"task": TEXT, "train": "-", **settings})
    assert refitting.times(config, facts(90, 10)) == refitting.wider(config, facts(4500, 500)) == 0
