"""Does transfer help? The same settings once from pretrained and once from random weights, for the same epochs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtransfer.api import Run, fit
from mmtransfer.comparison import Comparison, compare
from mmtransfer.data import builtin
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder

logger = logging.getLogger("mmtransfer")
TRANSFER_ONLY = ("weights", "strategy", "strategy_options", "vocabulary", "cache", "out", "overwrite", "resume")


def from_scratch(settings: Mapping[str, Any]) -> bool:
    """Whether `fit` with these settings starts from random weights: such a run has no control."""
    config = resolve(**settings)
    return config.strategy == "scratch" or config.weights == "none"


def check_versus(settings: Mapping[str, Any]) -> None:
    """Raises MMTransferError, before anything is trained, where `versus_scratch` would have nothing to do."""
    if settings.get("resume"):
        raise MMTransferError(
            "--resume goes on with one run, not with its control",
            "--versus-scratch",
            "leave it out; then mmtransfer fit TASK --config RUN/config.json --strategy scratch --out RUN-scratch, and "
            "mmtransfer compare RUN RUN-scratch",
        )
    if from_scratch(settings):
        raise MMTransferError(
            "The run is from scratch itself", "--versus-scratch", "leave it out, or give a backbone with weights"
        )
    if settings.get("shots") == 0:
        raise MMTransferError("Random weights learn nothing from no examples", "--versus-scratch", "leave it out")
    if settings.get("out") is not None:
        RunFolder(Path(_control(str(settings["out"])))).check(bool(settings.get("overwrite")), settings)


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, such that the run can be compared with its control: without test data both are scored on the same
    validation data, which folds of the training data would do without."""
    config, given = resolve(**settings), dict(settings)
    tested = config.test is not None or str(config.train).startswith(builtin.PREFIX)
    if not tested and config.strategy_options.get("folds", 0) is None and config.strategy_options["solver"] == "exact":
        given["strategy_options"] = {**(given.get("strategy_options") or {}), "folds": 0}
    return given


def versus_scratch(settings: Mapping[str, Any], run: Run) -> Comparison:
    """Trains the control of a finished run in RUN-scratch, and compares the two.

    `settings`: what `fit` was called with for `run`; all of it holds for the control but weights, strategy, a
    vocabulary that comes with weights, and the cache, since nothing is frozen. Where no rate is given, the control
    has that of training from scratch, if the built-in data name one.
    """
    kept = {name: value for name, value in settings.items() if name not in TRANSFER_ONLY}
    out = _control(str(run.folder.path))
    logger.info("the same from random weights, in %s", out)
    control = fit(**kept, strategy="scratch", out=out, overwrite=bool(settings.get("overwrite")))
    return compare([run.folder.path, control.folder.path])


def _control(out: str) -> str:
    return f"{out.rstrip('/')}-scratch"
