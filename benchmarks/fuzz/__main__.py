"""Fuzzing of the command line.

    python -m benchmarks.fuzz --minutes 20 --seed 0 [--kind tables ...] [--keep FOLDER] [--jobs N]
    python -m benchmarks.fuzz --replay FOLDER/CASE          # one kept case again, with its trace

Small valid inputs (pictures, recordings, tables, folders, finished runs and weights, stopped runs) are spoilt by bits,
by pieces and by structure, and given to `mmtransfer` fit, predict, evaluate, embed, compare and --resume, a forked
process each, with a limit of time and one of memory. An outcome is good if it is success, or status 2 with the name of
the file, of its folder or of the option in the message. All others are kept with their input in --keep, and make the
exit status 1. Counts go into benchmarks/results/fuzz.json.

The same seed gives the same inputs and commands; how many of them depends on the minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# one thread: what OpenMP starts in the parent would be missing, and waited for, in its forks
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from benchmarks.fuzz import cases, corpus, driving  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzzing of the command line.")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--cases", type=int, help="end after so many, if the minutes are not over before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", nargs="+", choices=corpus.KINDS, default=corpus.KINDS)
    parser.add_argument(
        "--keep", type=Path, default=Path("runs") / "fuzz", help="folder of the corpus and of bad cases"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--seconds", type=float, default=60, help="after which a case hangs")
    parser.add_argument("--out", type=Path, default=driving.PAGE, help="JSON of the counts")
    parser.add_argument("--replay", type=Path, metavar="CASE", help="a kept case, to be run again")
    given = parser.parse_args()
    if given.replay is not None:
        place = given.replay.resolve()
        driving.prepare(place.parent / "corpus", [cases.read(place)["kind"]])
        return cases.replay(place, place.parent / "corpus")
    return driving.drive(given)


if __name__ == "__main__":
    sys.exit(main())
