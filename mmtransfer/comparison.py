"""Finished runs side by side: scores with intervals, what they cost, and whether they differ on the same examples.

Runs that differ in nothing but their seed count as one entry. Differences are tested on what predictions/SPLIT.parquet
holds, pair by pair. The verdict is the p value of the task's primary metric, adjusted for the comparisons that were
asked for (Holm 1979); intervals are of one difference each and are not adjusted; other metrics are told, not judged.
Not finding a difference is an outcome, and is called so.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtransfer.comparable import Loaded, columns, load
from mmtransfer.errors import MMTransferError, damaged
from mmtransfer.metrics import F1, Margins, paired
from mmtransfer.metrics.paired import Difference
from mmtransfer.metrics.transcription import ONE_SPEAKER

LEVEL = 0.05
"""An adjusted p below it is a difference."""
TOLD: Mapping[str, tuple[str, ...]] = {"accuracy": ("f1_macro",), "wer": ()}
"""By primary metric, which decides, the others that are told."""
HIGHER_IS_BETTER = {"accuracy": True, "f1_macro": True, "wer": False}
PREDICTED: Mapping[str, tuple[str, ...]] = {
    "accuracy": ("id", "target", "prediction"),
    "wer": ("id", "words", "substitutions", "deletions", "insertions"),
}
"""By primary metric, the columns of the predictions that its tests need."""
NO_SETTINGS = {"seed", "out", "resume", "overwrite", "threads", "workers", "log_every", "checkpoint_every"}
NO_SETTINGS |= {"keep_checkpoints", "track"}
"""Fields in which runs of one entry may differ."""


@dataclass(frozen=True)
class Entry:
    """Runs of the same settings, a seed each: their result.json, and the columns of their predictions, by id."""

    name: str
    results: Sequence[Mapping[str, Any]]
    predictions: Sequence[Mapping[str, list[Any]]]

    def scores(self, split: str, metric: str) -> list[Mapping[str, Any]]:
        """value, low, high, n, method of each run."""
        return [result["metrics"][split][metric] for result in self.results]

    def mean(self, split: str, metric: str) -> float | None:
        """The runs' mean value of a metric; None where a run has none."""
        values = [score["value"] for score in self.scores(split, metric)]
        return None if None in values else statistics.fmean(values)

    def cost(self) -> dict[str, float]:
        """Means over the runs: seconds in all and of training, examples/s, parameters, peak bytes."""

        def mean(outer: str, inner: str) -> float:
            return statistics.fmean(float(result[outer][inner]) for result in self.results)

        return {
            "seconds": mean("seconds", "total"),
            "train_seconds": mean("seconds", "train"),
            "examples_per_second": mean("throughput", "examples_per_second"),
            "trainable": mean("parameters", "trainable"),
            "parameters": mean("parameters", "total"),
            "peak_bytes": mean("memory", "peak_bytes"),
        }


@dataclass(frozen=True)
class Contrast:
    """A metric's difference between two entries, first minus second, with its own interval."""

    metric: str
    first: str
    second: str
    difference: Difference

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference's own interval lies on one side of zero."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)

    def __str__(self) -> str:
        found, interval = self.difference, ""
        if found.low is not None and found.high is not None:
            interval = f" ({found.low:+.4f} to {found.high:+.4f})"
        return f"{self.metric} {found.value:+.4f}{interval}"


@dataclass(frozen=True)
class Verdict(Contrast):
    """A difference that was tested; `adjusted` is its p for all of the `comparisons`, None where there is no test."""

    adjusted: float | None
    comparisons: int

    @property
    def better(self) -> str | None:
        """The entry that is better, None where that is not shown."""
        if self.adjusted is None or self.adjusted >= LEVEL:
            return None
        return self.first if (self.difference.value > 0) == HIGHER_IS_BETTER[self.metric] else self.second

    @property
    def is_open(self) -> bool:
        """Whether the interval alone would have shown a difference that the adjusted p does not show."""
        return self.better is None and self.adjusted is not None and self.excludes_zero

    def __str__(self) -> str:
        name = "p" if self.comparisons == 1 else "adjusted p"
        p = "no test" if self.adjusted is None else f"{name} {self.adjusted:.2g}"
        numbers, both = f"{super().__str__()}, {p}", f"{self.first} and {self.second}"
        if self.better is not None:
            other = self.second if self.better == self.first else self.first
            return f"{self.better} is better than {other}: {self.first} minus {self.second}, {numbers}"
        if not self.is_open:
            return f"no difference shown between {both}: {numbers}"
        if self.comparisons == 1:
            return f"open, the interval excludes zero and the test does not decide, between {both}: {numbers}"
        return f"open after adjusting for {self.comparisons} comparisons, between {both}: {numbers}"


@dataclass(frozen=True)
class Comparison:
    """Entries in the order given, a verdict for every pair that was asked for, and what else differs.

    `verdicts`: of the primary metric; `told`: the same pairs by the other `metrics`, not judged; `best`: the entry
    with the best mean of the primary metric; `all_pairs`: whether all pairs were tested, or each entry with the best.
    """

    task: str
    split: str
    metrics: Sequence[str]
    entries: Sequence[Entry]
    best: Entry
    all_pairs: bool
    verdicts: Sequence[Verdict]
    told: Sequence[Contrast]


def compare(folders: Sequence[str | Path], all_pairs: bool = False) -> Comparison:
    """Compares finished runs of one task on one test set.

    `folders`: run folders; any other folder stands for the runs under it. `all_pairs`: test every pair of entries, and
    not only the best with each of the others. Of two entries the difference is first minus second as they were given.

    The best is chosen by the scores that are tested then, which p does not know of: where all entries are equally
    good, one is called better in 5 of 100 comparisons of two entries, in 6 of three, 15 of ten and 23 of twenty. With
    `all_pairs` it is 5 at most, and fewer differences are shown.

    Raises MMTransferError for fewer than two entries, for a folder that is no finished run, for runs of different
    tasks, and for test data that are not the same.
    """
    loaded = load(folders)
    primary, split = loaded[0].primary
    if primary not in TOLD:
        known = ", ".join(TOLD)
        raise MMTransferError(
            f"There is no paired test for {primary}", str(loaded[0].place.path), f"compare runs by one of {known}"
        )
    for run in loaded:
        lost = [metric for metric in (primary, *TOLD[primary]) if metric not in run.result["metrics"].get(split, {})]
        if lost:
            raise damaged(run.place.result, ValueError(f"metrics.{split}.{lost[0]} is missing"))
    entries = _entries(loaded, split, primary)
    if len(entries) < 2:
        raise MMTransferError(
            f"The {len(loaded)} runs differ in nothing but their seed, so there is one entry",
            ", ".join(str(run.place.path) for run in loaded),
            "give runs of other settings beside them",
        )
    best = max(entries, key=lambda entry: _merit(entry.mean(split, primary), primary))
    pairs = [pair for pair in itertools.combinations(entries, 2) if all_pairs or best in pair]
    found = [(first.name, second.name, _difference(primary, first, second)) for first, second in pairs]
    adjusted = paired.holm([difference.p for *_, difference in found])
    tested = sum(p is not None for p in adjusted)
    verdicts = [Verdict(primary, *pair, p, tested) for pair, p in zip(found, adjusted, strict=True)]
    told = [
        Contrast(metric, first.name, second.name, _difference(metric, first, second))
        for metric in TOLD[primary]
        for first, second in pairs
    ]
    metrics = (primary, *TOLD[primary])
    return Comparison(loaded[0].result["task"], split, metrics, entries, best, all_pairs, verdicts, told)


def _merit(value: float | None, metric: str) -> float:
    """The value, or minus it: more is better; none is worst."""
    if value is None:
        return -float("inf")
    return value if HIGHER_IS_BETTER[metric] else -value


def _entries(loaded: Sequence[Loaded], split: str, primary: str) -> list[Entry]:
    groups: dict[str, list[Loaded]] = {}
    for run in loaded:
        settings = {name: value for name, value in run.config.items() if name not in NO_SETTINGS}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    names = _names(list(groups.values()))
    for name, runs in zip(names, groups.values(), strict=True):
        seeds = [run.result["seed"] for run in runs]
        if len(set(seeds)) < len(seeds):
            raise MMTransferError(
                f"Runs of the same settings and seed: {seeds}",
                ", ".join(str(run.place.path) for run in runs),
                f"give one of them ({name})",
            )
    predictions = {run.place.path: columns(run.place, split, PREDICTED[primary], ["speaker"]) for run in loaded}
    ids = predictions[loaded[0].place.path]["id"]
    for path, found in predictions.items():
        if found["id"] != ids:
            raise MMTransferError("The predictions are of other examples than result.json", str(path), "run it again")
    return [
        Entry(name, [run.result for run in runs], [predictions[run.place.path] for run in runs])
        for name, runs in zip(names, groups.values(), strict=True)
    ]


def _names(groups: Sequence[Sequence[Loaded]]) -> list[str]:
    """Short names: of one run its folder's, of several what their folders' names begin with, or the folder around."""
    names = []
    for runs in groups:
        folders = [run.place.path.resolve() for run in runs]
        name = folders[0].name
        if len(folders) > 1:
            common = os.path.commonprefix([folder.name for folder in folders]).rstrip("-_0123456789")
            name = f"{folders[0].parent.name if common in ('', 'seed') else common} ({len(folders)} seeds)"
        names.append(name)
    if len(set(names)) < len(names):
        names = [str(runs[0].place.path) + (f" ({len(runs)} seeds)" if len(runs) > 1 else "") for runs in groups]
    return names


def _difference(metric: str, first: Entry, second: Entry) -> Difference:
    one, other = first.predictions, second.predictions
    if metric == "wer":
        edits = [
            [np.array(run["substitutions"]) + np.array(run["deletions"]) + np.array(run["insertions"]) for run in runs]
            for runs in (one, other)
        ]
        return paired.jackknife_difference(edits[0], edits[1], np.array(one[0]["words"]), *_groups(one[0]))
    if metric == "accuracy" and len(one) == len(other) == 1:
        right = [np.array(run[0]["prediction"]) == np.array(run[0]["target"]) for run in (one, other)]
        return paired.mcnemar(right[0], right[1])
    labels = sorted({label for run in (*one, *other) for name in ("target", "prediction") for label in run[name]})
    numbers = {label: number for number, label in enumerate(labels)}

    def coded(values: Sequence[str]) -> np.ndarray:
        return np.array([numbers[value] for value in values])

    f1 = F1(len(labels))

    def statistic(margins: Margins) -> np.ndarray:
        if metric == "accuracy":
            return margins.hits.sum(1) / margins.references.sum(1)
        return f1.averages(margins)[:, 0]

    predictions = [[coded(run["prediction"]) for run in runs] for runs in (one, other)]
    return paired.bootstrap(coded(one[0]["target"]), predictions[0], predictions[1], len(labels), statistic)


def _groups(predictions: Mapping[str, list[Any]]) -> tuple[list[str], str]:
    """Of each recording what it is left out with, and what that is: its speaker; itself where there is one speaker."""
    words = predictions["words"]
    speakers = predictions.get("speaker") or [None] * len(words)
    recordings = [f"recording {place}" for place in range(len(words))]
    groups = [name or own for name, own in zip(speakers, recordings, strict=True)]
    if groups == recordings:
        return groups, "recording"
    speaking = {name for name, count in zip(groups, words, strict=True) if count}
    return (groups, "speaker") if len(speaking) > 1 else (recordings, ONE_SPEAKER)
