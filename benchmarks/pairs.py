"""Pairs of sentences out of BANKING77: do both ask for the same thing?

    python -m benchmarks.pairs --data $MMTRANSFER_DATA/banking77 --out pairs    # writes train, validation, test .csv

Every sentence begins one pair with another of its intent (`same`) and one with a sentence of another intent
(`different`), so both are equally frequent, and no sentence tells the answer by itself. Validation sentences are cut
from train.csv, test sentences are those of test.csv; pairs are made inside a split only, and a sentence that test.csv
has as well (whatever its case and spaces) is in no other split.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import existing

Sentence = tuple[str, str]
"""(text, intent)"""
Pair = tuple[str, str, str]
"""(text, text, `same` or `different`)"""
HEADER = ("text1", "text2", "label")


def read(path: Path) -> list[Sentence]:
    """The sentences of a CSV with the columns text and category, each once."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {plain(row["text"]): (row["text"].strip(), row["category"]) for row in csv.DictReader(file)}
    return list(rows.values())


def plain(text: str) -> str:
    """What two spellings of one sentence share."""
    return " ".join(text.lower().split())


def splits(
    train: Sequence[Sentence], test: Sequence[Sentence], seed: int = 0, held_out: float = 0.1
) -> dict[str, list[Sentence]]:
    """Sentences by split, none in two; `held_out`: the share of each intent's training sentences for validation."""
    known = {plain(text) for text, _ in test}
    kept, held = [], []
    for number, own in enumerate(_by_intent(train).values()):
        own = [sentence for sentence in own if plain(sentence[0]) not in known]
        order = np.random.default_rng([seed, number]).permutation(len(own))
        count = round(held_out * len(own))
        held += [own[place] for place in order[:count]]
        kept += [own[place] for place in order[count:]]
    return {"train": kept, "validation": held, "test": list(test)}


def pairs(sentences: Sequence[Sentence], seed: int = 0) -> list[Pair]:
    """One pair of each kind for every sentence whose intent has another, in mixed order."""
    random = np.random.default_rng(seed)
    groups = [own for own in _by_intent(sentences).values() if len(own) > 1]
    pool = [sentence for own in groups for sentence in own]
    found: list[Pair] = []
    for own in groups:
        order = random.permutation(len(own))
        for place, following in zip(order, np.roll(order, -1), strict=True):
            text, intent = own[place]
            found.append((text, own[following][0], "same"))
            other = pool[random.integers(len(pool))]
            while other[1] == intent:
                other = pool[random.integers(len(pool))]
            found.append((text, other[0], "different"))
    return [found[place] for place in random.permutation(len(found))]


def _by_intent(sentences: Iterable[Sentence]) -> Mapping[str, list[Sentence]]:
    groups: defaultdict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        groups[sentence[1]].append(sentence)
    return dict(sorted(groups.items()))


def write(data: Path, out: Path, seed: int = 0) -> dict[str, int]:
    """Writes the three CSVs; returns the number of pairs by split."""
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split, sentences in splits(read(data / "train.csv"), read(data / "test.csv"), seed).items():
        made = pairs(sentences, seed)
        with (out / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *made])
        counts[split] = len(made)
    return counts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and test.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for split, count in write(existing(given.data), given.out, given.seed).items():
        print(f"{split}: {count} pairs")


if __name__ == "__main__":
    main()
