"""FSDD leaving one speaker out: a train and a test table for each of its six speakers, and the commands to run.

    python -m benchmarks.fsdd_speakers $MMTRANSFER_DATA/fsdd     # writes runs/fsdd-speakers/SPEAKER/{train,test}.csv

The recordings of the set's own train and test folders are taken together: a speaker's are all test, those of the
others all train. File names are absolute. Validation is cut from train by speaker as well (`--group-column`).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from benchmarks import existing

OUT = Path("runs") / "fsdd-speakers"
HEADER = ("file_name", "text", "speaker")


def recordings(folders: Sequence[Path]) -> list[tuple[str, str, str]]:
    """(absolute file name, transcript, speaker) of every row of each folder's metadata.csv."""
    found: list[tuple[str, str, str]] = []
    for folder in folders:
        with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.append((str((folder / row["file_name"]).resolve()), row["text"], row["speaker"]))
    return found


def write(data: Path, out: Path) -> list[str]:
    """Writes the tables; the speakers, sorted."""
    rows = recordings([data / "train", data / "test"])
    speakers = sorted({speaker for _, _, speaker in rows})
    for left in speakers:
        (out / left).mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            with (out / left / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(HEADER)
                writer.writerows(row for row in rows if (row[2] == left) == (split == "test"))
    return speakers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of FSDD, with train/ and test/")
    parser.add_argument("--out", type=Path, default=OUT)
    words = parser.parse_args()
    for speaker in write(existing(words.data), words.out):
        place = words.out / speaker
        print(
            f"mmtransfer fit speech-recognition --train {place}/train.csv --test {place}/test.csv "
            f"--group-column speaker --out {place}/run"
        )


if __name__ == "__main__":
    main()
