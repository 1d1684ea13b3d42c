"""The numbers of log.jsonl in a tracker as well, through Accelerate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from mmtransfer.errors import MMTransferError, unknown

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")
PROJECT = "mmtransfer"


def check(names: Sequence[str]) -> None:
    """Raises MMTransferError for a tracker that is not known or not installed."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS, "--track")
        if find_spec(name) is None:
            raise MMTransferError(
                f"{name} is not installed", f"--track {name}", "pip install 'mmtransfer[track]', or leave it out"
            )


def start(accelerator: Accelerator, names: Sequence[str], folder: Path, config: Mapping[str, Any], step: int) -> None:
    """Opens the trackers; `Accelerator.log` then writes to them, on the main process only.

    `folder`: the run folder, whose name is the run's; TensorBoard writes to its folder tensorboard/, Weights & Biases
    to wandb/ (WANDB_MODE=offline needs no network), Trackio and MLflow where their own settings say. `config` becomes
    the hyper-parameters. `step`: steps done; what a TensorBoard of a run that goes on says of later ones is dropped.
    """
    own: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        "tensorboard": (("tensorboard", str(folder)), {"purge_step": step + 1} if step else {}),
        "wandb": ((PROJECT,), {"name": folder.name, "dir": str(folder)}),
        "trackio": ((PROJECT,), {"name": folder.name}),
        "mlflow": ((PROJECT,), {"run_name": folder.name}),
    }
    # one after the other: as names they would go through Accelerator's own search, which drops silently
    accelerator.log_with = [LOGGER_TYPE_TO_CLASS[name](*own[name][0], **own[name][1]) for name in names]
    accelerator.init_trackers(PROJECT, dict(_flat(config)))


def finish(accelerator: Accelerator) -> None:
    """Closes the trackers; not `Accelerator.end_training`, which ends the process group too."""
    while accelerator.trackers:
        accelerator.trackers.pop().finish()


def numbers(split: str, scores: Mapping[str, float | None]) -> dict[str, float]:
    """Scores as trackers take them, `SPLIT/NAME`; without those of single classes, whose brackets MLflow refuses."""
    return {f"{split}/{name}": value for name, value in scores.items() if value is not None and "[" not in name}


def _flat(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Settings as hyper-parameters: numbers, words, truth values."""
    flat: list[tuple[str, Any]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat += [(f"{name}.{key}", inner) for key, inner in _flat(value)]
        elif value is not None:
            flat.append((name, value if isinstance(value, bool | int | float | str) else str(value)))
    return flat
