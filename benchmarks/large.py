"""How long and how much memory does a run on many examples take up to its first step?

    python -m benchmarks.large --case csv [--rows 200000]           # a table of sentences
    python -m benchmarks.large --case folder [--rows 100000]        # a folder of small pictures, ten classes
    python -m benchmarks.large --case parquet [--gigabytes 3]       # a table with the bytes of pictures
    python -m benchmarks.large --quick                              # all three, small, parquet in two sizes

Inputs are made once, in runs/large. `mmtransfer fit` runs there in a process of its own until its log has a first step,
and is killed; what it had in memory at most is the system's figure. The second start is the same once more: what was
found in the files is remembered. Figures stand in benchmarks/results/large.json; a case that is in it is not run again
without --again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PLACE = Path("runs") / "large"
RESULTS = Path(__file__).parent / "results" / "large.json"
QUICK = (("csv", 20_000), ("folder", 2_000), ("parquet", 0.2), ("parquet", 0.4))
SIDE = 256
"""Pixels of a side of the pictures in tables: noise, of which a PNG holds every byte."""
COMMON = ("--cache", "off", "--log-every", "1", "--threads", "1", "--overwrite")
IMAGES = (
    "image-classification",
    "--backbone",
    "resnet18",
    "--weights",
    "none",
    "--image-size",
    "32",
    "--micro-batch-size",
    "8",
)
SETTLED = 3.0
"""Seconds that files must be old to be remembered."""


def make_csv(path: Path, rows: int) -> None:
    """`rows` sentences of 5 to 30 words with labels."""
    generator = np.random.default_rng(0)
    words = np.array(["".join(generator.choice(list("abcdefghij"), 6)) for _ in range(2000)])
    with path.open("w") as file:
        file.write("text,label\n")
        for number in range(rows):
            file.write(f"{' '.join(generator.choice(words, generator.integers(5, 31)))},class {number % 10}\n")


def make_folder(path: Path, count: int) -> None:
    """`count` pictures of 32 pixels in ten class folders."""
    for number in range(count):
        place = path / f"class {number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(picture(number, 32))


def make_parquet(path: Path, gigabytes: float) -> None:
    """So many pictures of `SIDE` pixels that the file has the size."""
    import pyarrow as pa
    import pyarrow.parquet

    kind = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.string())])
    size, number = len(picture(0, SIDE)), 0
    with pyarrow.parquet.ParquetWriter(path, kind) as writer:
        while number * size < gigabytes * 1e9:
            cells = [{"bytes": picture(number + n, SIDE), "path": None} for n in range(100)]
            writer.write_table(pa.table({"image": cells, "label": [f"class {n % 10}" for n in range(100)]}, kind))
            number += 100


def picture(number: int, side: int) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


MAKERS = {"csv": (make_csv, 200_000), "folder": (make_folder, 100_000), "parquet": (make_parquet, 3.0)}
"""By case, what makes its input, and the size of it that is measured."""


def made(case: str, size: float) -> Path:
    """The input of a case, which is made where it is not there."""
    path = PLACE / f"{case}-{size:g}{'' if case == 'folder' else f'.{case}'}"
    if not path.exists():
        print(f"{path} is made", flush=True)
        beside = path.with_name(f"part-{path.name}")
        if beside.is_dir():
            shutil.rmtree(beside)
        PLACE.mkdir(parents=True, exist_ok=True)
        make: Any = MAKERS[case][0]
        make(beside, size)
        beside.rename(path)
        time.sleep(SETTLED)
    return path


def start(case: str, path: Path, out: Path) -> dict[str, float]:
    """Seconds and peak memory of one `mmtransfer fit` up to its first step."""
    words = ("text-classification", "--backbone", "builtin") if case == "csv" else IMAGES
    command = [sys.executable, "-m", "mmtransfer", "fit", *words, "--train", str(path), "--strategy", "full", *COMMON]
    shutil.rmtree(out, ignore_errors=True)
    log, own = out / "log.jsonl", os.environ | {"MMTRANSFER_CACHE": str(PLACE / "cache")}
    begun = time.perf_counter()
    with (PLACE / "said.txt").open("w") as said:
        child = subprocess.Popen([*command, "--out", str(out)], env=own, stdout=said, stderr=said)
        while not (log.exists() and log.stat().st_size):
            if child.poll() is not None:
                raise SystemExit(f"the run ended before its first step:\n{(PLACE / 'said.txt').read_text()[-3000:]}")
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        child.kill()
        _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0  # it has been waited for
    return {"seconds": round(seconds, 1), "peak_mb": round(used.ru_maxrss / 1024)}


def measure(case: str, size: float, again: bool) -> None:
    """Prints and keeps the figures of a first and a second start."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    name = f"{case} {size:g}"
    if again or name not in results:
        path = made(case, size)
        shutil.rmtree(PLACE / "cache", ignore_errors=True)
        results[name] = {which: start(case, path, PLACE / "run") for which in ("first start", "second start")}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    for which, figures in results[name].items():
        print(f"{name}, {which}: {figures['seconds']} s, {figures['peak_mb']} MB at most", flush=True)


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=list(MAKERS))
    parser.add_argument("--rows", type=int, help="of the table, or files of the folder")
    parser.add_argument("--gigabytes", type=float, help="of the Parquet file")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true")
    words = parser.parse_args()
    if not (words.quick or words.case):
        parser.error("give --case or --quick")
    cases = QUICK if words.quick else [(words.case, MAKERS[words.case][1])]
    for case, size in cases:
        if words.case in (None, case):
            asked = words.gigabytes if case == "parquet" else words.rows
            measure(case, asked or size, words.again)


if __name__ == "__main__":
    main()
