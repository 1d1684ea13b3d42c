"""How long `mmtransfer predict RUN one-file` takes from nothing, by modality, beside what it cannot do without.

    python -m benchmarks.starting [TASK ...] [--rounds 5] [--before CHECKOUT]     # one core: 3 minutes a task

Each round starts a fresh interpreter for each modality and way, one after the other: `predict` with a run of the
built-in backbone, the same with the package of another checkout (--before), and an import of torch and the one class
of the network. Told are medians of seconds and of CPU seconds (of a busy machine the latter); written is
benchmarks/results/starting.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mmtransfer.config import IMAGE, SPEECH, TEXT

HERE = Path(__file__).parent
CLASSES = {
    TEXT: "import torch; from transformers import BertModel",
    IMAGE: "import torch; from torchvision.models import shufflenet_v2_x1_0",
    SPEECH: "import torch; from transformers import Wav2Vec2Model",
}
"""By task, what an import of torch and of the built-in backbone's class is."""


FIT = {"train": "builtin", "shots": 4, "epochs": 1, "strategy": "full", "cache": "off"}
"""Settings of the runs."""


def make_inputs(folder: Path) -> dict[str, Path]:
    """By task, one file to predict."""
    import soundfile
    from PIL import Image

    random = np.random.default_rng(0)
    text, picture, recording = (folder / name for name in ("one.txt", "one.png", "one.wav"))
    text.write_text("Return the list of open files.\n")
    Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(picture)
    soundfile.write(recording, 0.1 * random.normal(size=32_000), 16_000)
    return {TEXT: text, IMAGE: picture, SPEECH: recording}


def seconds(words: list[str], package: Path) -> tuple[float, float]:
    """(Seconds, CPU seconds) of a fresh interpreter with these words, for which the package lies in `package`."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(package), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment, cwd=package)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def main() -> None:
    """Makes the runs, measures, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*CLASSES, []], help="all three, if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout, whose predict is measured as well")
    said = parser.parse_args()
    packages = {"predict": HERE.parent} | ({"before": said.before.resolve()} if said.before else {})
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = {task: file for task, file in make_inputs(Path(folder)).items() if task in (said.tasks or CLASSES)}
        for name, package in packages.items():
            for task in inputs:
                asked = {"task": task, **FIT, "out": f"{folder}/{name}/{task}"}
                seconds(["-c", f"import mmtransfer; mmtransfer.fit(**{asked!r})"], package)
        for _ in range(said.rounds):
            for task, file in inputs.items():
                ways: dict[str, tuple[list[str], Path]] = {"imports": (["-c", CLASSES[task]], HERE.parent)}
                for name, package in packages.items():
                    ways[name] = ["-m", "mmtransfer", "predict", f"{folder}/{name}/{task}", str(file)], package
                for name, (asked, package) in ways.items():
                    found.setdefault(task, {}).setdefault(name, []).append(seconds(asked, package))
    figures = {
        task: {
            name: {
                "seconds": statistics.median(wall for wall, _ in values),
                "cpu_seconds": statistics.median(cpu for _, cpu in values),
            }
            for name, values in ways.items()
        }
        for task, ways in found.items()
    }
    page = HERE / "results" / "starting.json"
    known = json.loads(page.read_text()) if page.is_file() else {}
    about = {"rounds": said.rounds, "cores": len(os.sched_getaffinity(0))}
    page.write_text(json.dumps(known | {task: about | ways for task, ways in figures.items()}, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
