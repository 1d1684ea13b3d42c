"""Sentence pairs: balanced, the same for the same seed, no sentence in two splits."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def made(data: Path, out: Path, seed: int = 0) -> dict[str, list[list[str]]]:
    command = [sys.executable, "-m", "benchmarks.pairs", "--data", data, "--out", out, "--seed", str(seed)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = {}
    for split in ("train", "validation", "test"):
        with (out / f"{split}.csv").open(newline="") as file:
            found[split] = list(csv.reader(file))
    return found


def check(found: dict[str, list[list[str]]]) -> None:
    seen: dict[str, set[str]] = {}
    for split, (header, *rows) in found.items():
        assert header == ["text1", "text2", "label"] and len({tuple(row) for row in rows}) == len(rows)
        assert Counter(row[2] for row in rows) == {"same": len(rows) // 2, "different": len(rows) // 2}
        seen[split] = {" ".join(text.lower().split()) for row in rows for text in row[:2]}
    assert not seen["train"] & seen["validation"]
    assert not seen["test"] & (seen["train"] | seen["validation"])


def test_no_sentence_is_in_two_splits(tmp_path):
    for split, count in (("train", 30), ("test", 6)):
        rows = [(f"{split} {n} of {intent}", intent) for intent in "abc" for n in range(count)]
        rows += [("In  both", "a"), (" in BOTH ", "a"), ("lonely", "d")] if split == "train" else [("in both", "a")]
        with (tmp_path / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "category"), *rows])
    found = made(tmp_path, tmp_path / "out")
    check(found)
    assert [len(rows) - 1 for rows in found.values()] == [2 * 81, 2 * 9, 2 * 19]
    intents = {True: set(), False: set()}
    for one, two, label in found["validation"][1:]:
        intents[label == "same"].add(one[-1] == two[-1])
    assert intents == {True: {True}, False: {False}}
    assert made(tmp_path, tmp_path / "again") == found and made(tmp_path, tmp_path / "other", 1) != found


@pytest.mark.real
def test_banking77(data_folder, tmp_path):
    found = made(data_folder / "banking77", tmp_path)
    check(found)
    assert len(found["train"]) > 17_000 and len(found["test"]) > 6_000
