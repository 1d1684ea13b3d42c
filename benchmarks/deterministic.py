"""What --deterministic costs: examples/s with and without it, interleaved, on built-in data and backbones.

    python -m benchmarks.deterministic [--rounds 3] [--epochs 3]     # a GPU: about 3 minutes; on a CPU it costs nothing

All stages are trained, in each task's own defaults. Told are the ratio of medians and, of two runs with it that are not
interrupted, whether their weights are bit-equal; written is benchmarks/results/deterministic.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

import mmtransfer as mmt
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.engine import determinism

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
                weights.append(dict(run.model.state_dict()))
    plain, deterministic = (statistics.median(found) for found in speeds.values())
    return {
        "examples_per_second": plain,
        "deterministic": deterministic,
        "ratio": plain / deterministic,
        "bit_equal": all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other),
    }


def main() -> None:
    """Measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    said = parser.parse_args()
    determinism.prepare(True)  # before the first run, which does not ask for it, starts CUDA
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    with tempfile.TemporaryDirectory() as folder:
        tasks = (IMAGE, TEXT, SPEECH)
        figures = {task: measure(task, said.rounds, said.epochs, Path(folder)) for task in tasks}
    text = json.dumps({"device": device, **figures}, indent=2)
    (HERE / "results" / "deterministic.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
