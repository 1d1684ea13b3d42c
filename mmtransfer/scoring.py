"""Scores, with intervals, of what is finished: a run, or a backbone with the head that its checkpoint carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtransfer.api import evaluate_backbone, load
from mmtransfer.config import read_settings
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from mmtransfer.metrics import Score


def evaluate(model: str | Path, test: Any, weights: str | None = None, **fields: Any) -> dict[str, Score]:
    """All scores of a finished run, or of a backbone, on labelled data.

    Args:
        model: folder of a finished run; or a backbone whose checkpoint carries a head: a torchvision network, a folder
            or hub name of transformers.
        test: a path, `builtin:NAME` or a list of rows.
        weights: of a torchvision network only: name of its published weights, or a file.
        fields: settings of reading data: names of columns, `skip_bad`.

    Raises MMTransferError where the model has no head, for data that it cannot read, and for labels it does not have.

    >>> scores = mmt.evaluate("runs/a", test="test.csv")
    >>> print(scores["accuracy"], scores["accuracy"].n)
    1.0000 (0.7847 to 1.0000) 14
    """
    if is_backbone(str(model)):
        return evaluate_backbone(str(model), test, weights, **fields)
    if weights is not None:
        raise MMTransferError("A run has its own weights", f"--weights {weights}", "leave it out")
    return load(model, **fields).evaluate(test)


def is_backbone(name: str) -> bool:
    """Whether a name is a backbone's: neither the folder of a run, nor a path where nothing is."""
    place = Path(name)
    if place.is_dir():
        # a run has a config.json as well; that of transformers tells the architecture
        return (place / "config.json").is_file() and "model_type" in read_settings(place / "config.json")
    path = name.startswith((".", "/", "~")) or name.endswith("/") or ("/" in name and Path(place.parts[0]).is_dir())
    return not path
