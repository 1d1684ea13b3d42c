"""What --deterministic costs: examples/s with and without it, interleaved, on built-in data and backbones.

    python -m benchmarks.deterministic [--rounds 3] [--epochs 3]     # a GPU: about 3 minutes; on a CPU it costs nothing

All stages are trained, in each task's own defaults. Told are the ratio of medians, whether the weights of the runs with
it are bit-equal, and whether those of one more are that is stopped in the middle of an epoch and resumed; written is
benchmarks/results/deterministic.json, task by task.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import mmtransfer as mmt
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.engine import determinism
from mmtransfer.engine.signals import Interrupted
from mmtransfer.engine.state import TrainState

FIT: dict[str, Any] = {"train": "builtin", "strategy": "full", "cache": "off"}
HERE = Path(__file__).parent


def measure(task: str, rounds: int, epochs: int, folder: Path) -> dict[str, Any]:
    """The figures of a task."""
    speeds: dict[bool, list[float]] = {False: [], True: []}
    weights: list[dict[str, torch.Tensor]] = []
    for number in range(rounds):
        for asked, found in speeds.items():
            out = str(folder / f"{task}-{number}-{asked}")
            run = mmt.fit(task=task, **FIT, epochs=epochs, deterministic=asked, out=out)
            found.append(float(run.result["throughput"]["examples_per_second"]))
            if asked:
                weights.append(_weights(run))
                steps = int(run.result["phases"][-1]["steps"])
    resumed = _weights(_resumed(task, epochs, str(folder / f"{task}-stopped"), steps // 2 + 1))
    plain, deterministic = (statistics.median(found) for found in speeds.values())
    return {
        "examples_per_second": plain,
        "deterministic": deterministic,
        "ratio": plain / deterministic,
        "bit_equal": all(_equal(weights[0], other) for other in weights[1:]),
        "resumed_bit_equal": _equal(weights[0], resumed),
    }


def _resumed(task: str, epochs: int, out: str, step: int) -> mmt.Run:
    """A run that was stopped at a step and gone on with."""
    advance = TrainState.advance

    def stopping(state: TrainState, *given: Any) -> None:
        advance(state, *given)
        if state.steps_done == step:
            signal.raise_signal(signal.SIGTERM)

    try:
        with mock.patch.object(TrainState, "advance", stopping):
            mmt.fit(task=task, **FIT, epochs=epochs, deterministic=True, out=out)
    except Interrupted:
        return mmt.fit(task=task, resume=True, out=out)
    raise AssertionError(f"{task} has no step {step}")


def _weights(run: mmt.Run) -> dict[str, torch.Tensor]:
    return dict(run.model.state_dict())


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def main() -> None:
    """Measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    said = parser.parse_args()
    determinism.prepare(True)  # before the first run, which does not ask for it, starts CUDA
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {"device": device}
        for task in (IMAGE, TEXT, SPEECH):
            figures[task] = measure(task, said.rounds, said.epochs, Path(folder))
            print(task, json.dumps(figures[task]), flush=True)
            (HERE / "results" / "deterministic.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
