"""Does a change of the code change a number? Small runs through the command line, recorded once and held against later.

    python -m benchmarks.golden record [--out FILE]        # with the code as it was
    python -m benchmarks.golden check [--out FILE]         # with the code as it is, on the same machine

Every task, target and strategy, with the cache on and off, two processes, runs that are stopped and resumed, repeats,
predictions and features, all on built-in data and backbones: three minutes of a core. What is kept are hashes of step
losses, final weights, stored predictions, the data's fingerprints and scores. Precision, threads, cache, rates and
seeds are fixed, so that new defaults change nothing. Another kind of processor gives other numbers: FILE
(runs/golden/record.json) belongs to a machine. `check` names what differs and ends with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

PLACE = Path("runs") / "golden"
IMAGE, TEXT, SPEECH = "image-classification", "text-classification", "speech-recognition"
FIXED = "--backbone builtin --precision fp32 --threads 1 --workers 0 --seed 3 --log-every 1"
IMAGES = "--train builtin:digits --shots 6 --image-size 32 --crop-pct 1 --epochs 2 --batch-size 16 --lr 1e-3"
TEXTS = "--train builtin:library --shots 8 --epochs 2 --batch-size 16 --lr 3e-4"
SOUNDS = "--train builtin:commands --shots-minutes 1 --epochs 2 --batch-size 8 --lr 6e-4 --vocabulary backbone"
PLAIN = "--cache off --augment none"
LIKE_THE_BACKBONE = "--strategy.head-lr-ratio 1"
PROBE_FIRST = "--strategy lp-ft --strategy.lr-ratio 0.5 --strategy.head-lr-ratio 5"

CASES: Mapping[str, tuple[str, str]] = {
    "image-full": (IMAGE, f"{IMAGES} {PLAIN} --strategy full {LIKE_THE_BACKBONE}"),
    "image-light": (IMAGE, f"{IMAGES} --cache off --augment light --strategy full {LIKE_THE_BACKBONE}"),
    "image-probe-loop": (IMAGE, f"{IMAGES} --cache on --strategy linear-probe --strategy.solver loop"),
    "image-probe-exact": (IMAGE, f"{IMAGES} --cache on --strategy linear-probe"),
    "image-partial-cached": (IMAGE, f"{IMAGES} --cache on --augment none --strategy partial {LIKE_THE_BACKBONE}"),
    "image-partial": (IMAGE, f"{IMAGES} {PLAIN} --strategy partial {LIKE_THE_BACKBONE}"),
    "image-regression": (IMAGE, f"{IMAGES} {PLAIN} --target regression --strategy full {LIKE_THE_BACKBONE}"),
    "text-full": (TEXT, f"{TEXTS} --cache off --strategy full {LIKE_THE_BACKBONE} --label-smoothing 0.1"),
    "text-scratch": (TEXT, f"{TEXTS} --cache off --strategy scratch {LIKE_THE_BACKBONE} --class-weights auto"),
    "text-lp-ft": (TEXT, f"{TEXTS} --cache on {PROBE_FIRST}"),
    "text-names": (TEXT, f"{TEXTS} --cache on --strategy linear-probe --strategy.prior names"),
    "text-multi-label": (TEXT, f"{TEXTS} --cache off --target multi-label --strategy full {LIKE_THE_BACKBONE}"),
    "speech-full": (SPEECH, f"{SOUNDS} {PLAIN} --strategy full {LIKE_THE_BACKBONE}"),
    "speech-light": (SPEECH, f"{SOUNDS} --cache off --augment light --strategy full {LIKE_THE_BACKBONE}"),
    "speech-probe": (SPEECH, f"{SOUNDS} --cache on --strategy linear-probe"),
}
"""By name, a task and its flags."""
INPUTS = {IMAGE: "image-full", TEXT: "text-full", SPEECH: "speech-full"}
"""By task, the run that predicts and gives features."""


def measure() -> dict[str, dict[str, str]]:
    """By case, hashes by what they are of."""
    shutil.rmtree(PLACE / "work", ignore_errors=True)
    work = PLACE / "work"
    work.mkdir(parents=True)
    os.environ |= {"HF_HUB_OFFLINE": "1", "MMTRANSFER_CACHE": str(work / "cache"), "OMP_NUM_THREADS": "1"}
    for library in ("torch", "torchvision", "transformers.models.auto", "datasets", "evaluate", "accelerate"):
        import_module(library)  # once, before the processes part
    found: dict[str, dict[str, str]] = {}
    for name, (task, flags) in CASES.items():
        _run(["fit", task, *flags.split(), *FIXED.split(), "--out", str(work / name)])
        found[name] = _hashes(work / name)
    for name, after in (("text-full", 2), ("speech-light", 1), ("image-partial-cached", 2)):
        _stopped(name, work / f"{name}-resumed", after)
        found[f"{name}, stopped and resumed"] = _hashes(work / f"{name}-resumed")
    found |= _repeats(work) | _used(work)
    found["text-full, two processes"] = _two_processes(work / "two")
    return found


def _run(words: Sequence[str], stop: Callable[[], bool] | None = None) -> int:
    """A command in a process of its own; `stop`: when to send it SIGTERM. Returns its exit status."""
    process = get_context("fork").Process(target=_command, args=(list(words),))
    process.start()
    while process.is_alive():
        process.join(0.05)
        if stop is not None and stop():
            os.kill(int(process.pid or 0), signal.SIGTERM)
            process.join()
    if process.exitcode != 0 and stop is None:
        raise SystemExit(f"mmtransfer {' '.join(words)} ended with {process.exitcode}")
    return int(process.exitcode or 0)


def _command(words: list[str]) -> None:
    from mmtransfer.cli import main

    sys.argv = ["mmtransfer", *words]
    with (PLACE / "work" / "said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        main(words)


def _stopped(name: str, out: Path, after: int) -> None:
    """Runs a case, stops it once so many steps are in its log, and resumes it; where it stops does not matter."""
    task, flags = CASES[name]
    log = out / "log.jsonl"
    words = ["fit", task, *flags.split(), *FIXED.split(), "--out", str(out)]
    _run(words, lambda: log.exists() and len(log.read_bytes().splitlines()) >= after)
    _run(["fit", task, "--resume", "--out", str(out)])


def _repeats(work: Path) -> dict[str, dict[str, str]]:
    task, flags = CASES["text-names"]
    _run(["fit", task, *flags.split(), *FIXED.split(), "--repeats", "2", "--out", str(work / "repeats")])
    return {f"repeats, seed {seed}": _hashes(work / "repeats" / f"seed-{seed}") for seed in (3, 4)}


def _used(work: Path) -> dict[str, dict[str, str]]:
    """What the runs answer on inputs that were not in their data."""
    from PIL import Image

    generator, folder = np.random.default_rng(0), work / "inputs"
    folder.mkdir()
    (folder / "texts.txt").write_text("Return a list of names.\nOpen the file for reading.\nRaise an error.\n")
    (folder / "pictures").mkdir()
    for number in range(3):
        pixels = generator.integers(0, 255, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    _tones(folder / "sounds", generator)
    found = {}
    for task, kind in ((IMAGE, "pictures"), (TEXT, "texts.txt"), (SPEECH, "sounds")):
        run, source, out = str(work / INPUTS[task]), str(folder / kind), work / kind.split(".")[0]
        _run(["predict", run, source, "--out", f"{out}.csv"])
        _run(["embed", run, source, "--cache", "off", "--out", f"{out}.npy"])
        files = (Path(f"{out}.csv"), Path(f"{out}.npy"))
        found[f"{INPUTS[task]}, used"] = {path.suffix[1:]: _digest(path.read_bytes()) for path in files}
    return found


def _tones(folder: Path, generator: np.random.Generator) -> None:
    import soundfile

    folder.mkdir()
    for number in range(3):
        times = np.arange(8000 + 3000 * number) / 16000
        wave = 0.3 * np.sin(2 * np.pi * 300 * (number + 1) * times) + 0.01 * generator.normal(size=len(times))
        soundfile.write(folder / f"{number}.wav", wave, 16000)


def _two_processes(out: Path) -> dict[str, str]:
    task, flags = CASES["text-full"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    recipe = Path(__file__).parents[1] / "recipes" / "text_cls.py"
    words = [*launcher, str(recipe), *flags.split(), *FIXED.split(), "--out", str(out)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"two processes ended with {done.returncode}: {done.stderr[-2000:]}")
    return _hashes(out)


def _hashes(run: Path) -> dict[str, str]:
    """What a finished run leaves, as hashes."""
    import pyarrow.parquet
    from safetensors.numpy import load_file

    result = json.loads((run / "result.json").read_text())
    log = run / "log.jsonl"
    steps = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    weights = hashlib.blake2b(digest_size=8)
    for path in sorted((run / "model").glob("*.safetensors")):
        for key, value in sorted(load_file(path).items()):
            weights.update(f"{path.name} {key} {value.dtype} {value.shape}".encode() + value.tobytes())
    found = {
        "losses": _digest([(line["step"], line["loss"]) for line in steps if "loss" in line]),
        "weights": weights.hexdigest(),
        "fingerprints": _digest({split: about["fingerprint"] for split, about in sorted(result["data"].items())}),
        "scores": _digest(
            {f"{split} {name}": score["value"] for split in result["metrics"] for name, score in _sorted(result, split)}
        ),
    }
    for path in sorted((run / "predictions").glob("*.parquet")):
        rows = pyarrow.parquet.read_table(path).sort_by("id").to_pydict()
        kept = {name: rows[name] for name in ("id", "target", "prediction", "logits") if name in rows}
        found[f"predictions of {path.stem}"] = _digest(kept)
    return found


def _sorted(result: Mapping[str, Any], split: str) -> list[tuple[str, Any]]:
    return sorted(result["metrics"][split].items())


def _digest(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def compare(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each case whose hashes differ or that only one side has."""
    lines = [f"{case}: only {'before' if case in before else 'now'}" for case in sorted(before.keys() ^ now.keys())]
    for case in (case for case in before if case in now):
        names = before[case].keys() | now[case].keys()
        other = sorted(name for name in names if before[case].get(name) != now[case].get(name))
        if other:
            lines.append(f"{case}: other {', '.join(other)}")
    return lines


def main() -> None:
    """`record` or `check`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("record", "check"))
    parser.add_argument("--out", type=Path, default=PLACE / "record.json")
    given = parser.parse_args()
    if given.verb == "check" and not given.out.exists():
        raise SystemExit(f"{given.out} is not there: run `python -m benchmarks.golden record` with the code as it was")
    begun = time.monotonic()
    found = measure()
    seconds = time.monotonic() - begun
    if given.verb == "record":
        versions = {name: metadata.version(name) for name in ("torch", "transformers", "torchvision")}
        given.out.write_text(json.dumps({"versions": versions, "cases": found}, indent=2) + "\n")
        print(f"{len(found)} cases in {given.out}, {seconds:.0f} s")
        return
    different = compare(json.loads(given.out.read_text())["cases"], found)
    print("\n".join(different) or f"all hashes of {len(found)} cases are equal, {seconds:.0f} s")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
