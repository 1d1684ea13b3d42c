"""How far words can be tagged without a pretrained backbone: what a score of token-classification stands beside.

    cd $MMTRANSFER_DATA/wnut17; python -m benchmarks.tags baseline --train train.conll --test test.conll
    python -m benchmarks.tags baseline --train builtin:identifiers --test builtin:identifiers --runs runs/a runs/b

Prints F1 of entities (of plain tags: their macro F1) with 95 % intervals: of the most frequent tag of each word, of a
logistic regression that sees how a word is spelled, of the same with its neighbours (`--no-logistic` leaves both out;
they take a minute or two), and of the test split of finished runs.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmtransfer.data import sources
from mmtransfer.iob2 import is_iob2
from mmtransfer.metrics import EntityF1, TagF1

Words = Sequence[Sequence[str]]
"""A list of words, or of their tags, for each sentence."""
Tagger = Callable[[Words], list[list[str]]]
"""Words -> tags."""


def majority_tags(words: Words, tags: Words) -> Tagger:
    """A look-up: each word's most frequent tag in training, of words not seen there the most frequent of all.

    Of equally frequent tags the first in the alphabet.

    >>> majority_tags([["Ada", "ran"], ["Bo", "ran"]], [["B-a", "O"], ["B-b", "O"]])([["Bo", "saw", "Ada"]])
    [['B-b', 'O', 'B-a']]
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for own, answers in zip(words, tags, strict=True):
        for word, tag in zip(own, answers, strict=True):
            counts[word][tag] += 1
    usual = _most(sum(counts.values(), Counter()))
    known = {word: _most(own) for word, own in counts.items()}
    return lambda asked: [[known.get(word, usual) for word in own] for own in asked]


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def logistic_tags(words: Words, tags: Words, reach: int) -> Tagger:
    """A logistic regression of each word's spelling and of the words up to `reach` places around it."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(DictVectorizer(), LogisticRegression(C=3.0, max_iter=300, tol=1e-3))
    model.fit([word for own in words for word in _features(own, reach)], [tag for own in tags for tag in own])

    def predict(asked: Words) -> list[list[str]]:
        found = iter(model.predict([word for own in asked for word in _features(own, reach)]).tolist())
        return [[next(found) for _ in own] for own in asked]

    return predict


def _features(words: Sequence[str], reach: int) -> Iterator[dict[str, Any]]:
    """Of each word its shape (Xx_0), its ends and itself; of its neighbours shape and word."""
    shapes = [re.sub(r"(.)\1+", r"\1", re.sub(r"[a-z]", "x", re.sub(r"[A-Z]", "X", word))) for word in words]
    for place, word in enumerate(words):
        row = {"word": word.lower(), "shape": shapes[place], "first": place == 0}
        row |= {f"start {size}": word[:size] for size in (2, 3)} | {f"end {size}": word[-size:] for size in (2, 3, 5)}
        for other in range(max(0, place - reach), min(len(words), place + reach + 1)):
            if other != place:
                row |= {f"word {other - place}": words[other].lower(), f"shape {other - place}": shapes[other]}
        yield row


def sentences(source: str, split: str) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags of any source that fit takes; of built-in data those of a split."""
    table = sources.load(source, "words", option=f"--{split}", split=split)
    return table.column("words"), table.column("tags")


def scores(predictions: Words, references: Words) -> str:
    """F1 with its interval, and of each type, as a line."""
    metric = EntityF1() if is_iob2({tag for own in references for tag in own}) else TagF1()
    metric.add_batch(predictions=predictions, references=references)
    total = metric.scores()[metric.names[0]]
    types = ", ".join(f"{kind} {score.value:.3f}" for kind, score in metric.per_type().items())
    return f"{metric.names[0]} {total.value:.3f} [{total.low:.3f}, {total.high:.3f}]  ({types})"


def baseline(train: str, test: str, logistic: bool, runs: Sequence[str]) -> None:
    """Prints a line for each tagger and each run."""
    words, tags = sentences(train, "train")
    asked, references = sentences(test, "test")
    print(f"majority tag of each word: {scores(majority_tags(words, tags)(asked), references)}")
    for name, reach in (("spelling", 0), ("spelling and neighbours", 2)) if logistic else ():
        print(f"logistic regression, {name}: {scores(logistic_tags(words, tags, reach)(asked), references)}")
    for folder in runs:
        import mmtransfer

        run = mmtransfer.load(folder)
        for name, score in run.metrics["test"].items():
            if "f1" in name:
                print(f"{folder}: {name} {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("baseline", help="scores without a pretrained backbone, beside those of runs")
    command.add_argument("--train", required=True, help="CoNLL or Parquet file, or builtin:identifiers")
    command.add_argument("--test", required=True, help="as --train")
    command.add_argument("--runs", nargs="*", default=[], help="folders of finished runs on the same test data")
    command.add_argument("--no-logistic", action="store_true", help="only the look-up")
    given = parser.parse_args()
    baseline(given.train, given.test, not given.no_logistic, given.runs)


if __name__ == "__main__":
    main()
