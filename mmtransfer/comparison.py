"""Finished runs side by side: scores with intervals, what they cost, and whether they differ on the same examples.

Runs that differ in nothing but their seed count as one entry. Differences are tested on what predictions/SPLIT.parquet
holds, pair by pair. The verdict is the p value of the task's primary metric, adjusted for the comparisons that were
asked for (Holm 1979); intervals are of one difference each and are not adjusted; other metrics are told, not judged.
Not finding a difference is an outcome, and is called so.
"""

from __future__ import annotations

import itertools
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtransfer import differing
from mmtransfer.comparable import Loaded, columns, grouped, load_runs
from mmtransfer.errors import MMTransferError, damaged, suggestion
from mmtransfer.metrics import crossed, paired, stored
from mmtransfer.metrics.paired import Difference
from mmtransfer.metrics.stored import METRICS, metric_of

if TYPE_CHECKING:
    import pandas

LEVEL = 0.05
"""An adjusted p below it is a difference."""

ENDS = ("low", "high", "difference", "difference_low", "difference_high", "p")
"""Columns of a frame that hold nothing where a configuration has none."""
SEED = re.compile(r"seed-\d+", re.ASCII)
"""Names of folders that say nothing but the seed."""


@dataclass(frozen=True)
class Entry:
    """Runs of the same settings, a seed each: their result.json, and the columns of their predictions, by id."""

    name: str
    results: Sequence[Mapping[str, Any]]
    predictions: Sequence[Mapping[str, list[Any]]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the first run."""
    folders: Sequence[Path] = ()
    """Of the runs."""
    intervals: dict[str, tuple[float | None, float | None]] = field(default_factory=dict, compare=False, repr=False)
    """By metric, what `interval` has found: a bootstrap takes a second."""

    def scores(self, split: str, metric: str) -> list[Mapping[str, Any]]:
        """value, low, high, n, method of each run."""
        return [result["metrics"][split][metric] for result in self.results]

    def mean(self, split: str, metric: str) -> float | None:
        """The runs' mean value of a metric; None where a run has none."""
        values = [score["value"] for score in self.scores(split, metric)]
        return None if None in values else statistics.fmean(values)

    def interval(self, split: str, metric: str) -> tuple[float | None, float | None]:
        """95 % of the mean: of one run its own; of several by a bootstrap of examples and seeds; None where there is
        none."""
        scores = self.scores(split, metric)
        if len(scores) == 1:
            return scores[0]["low"], scores[0]["high"]
        if metric not in self.intervals:
            drawn = None if self.mean(split, metric) is None else stored.drawn(metric, self.predictions)
            self.intervals[metric] = (
                _crossed(drawn, len(scores)) if drawn is not None and drawn.units > 1 else (None, None)
            )
        return self.intervals[metric]

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
        return f"{self.metric} {self.difference:+.4f}"


@dataclass(frozen=True)
class Verdict(Contrast):
    """A difference that was tested."""

    adjusted: float | None
    """Its p for all of the comparisons; None where there is no test."""
    comparisons: int
    """How many differences were tested."""
    higher_is_better: bool
    """Whether more of the metric is better."""

    @property
    def better(self) -> str | None:
        """The entry that is better, None where that is not shown."""
        if self.adjusted is None or self.adjusted >= LEVEL:
            return None
        return self.first if (self.difference.value > 0) == self.higher_is_better else self.second

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
    """Entries side by side, a verdict for every pair that was asked for, and what else differs."""

    task: str
    split: str
    """The data that the scores are of."""
    metrics: Sequence[str]
    """Names of scores: the primary one, which decides, and those that are told beside it."""
    counted: str
    """What the `n` of a verdict's difference is a number of."""
    entries: Sequence[Entry]
    """In the order given."""
    best: Entry
    """The one with the best mean of the primary score."""
    all_pairs: bool
    """Whether all pairs were tested, or each entry with the best."""
    verdicts: Sequence[Verdict]
    """Of the primary score, a pair each."""
    told: Sequence[Contrast]
    """The same pairs by the other scores, not judged."""

    @property
    def primary(self) -> str:
        """The score that decides."""
        return self.metrics[0]

    @property
    def ranked(self) -> list[Entry]:
        """The entries, the best first."""
        higher = self.verdicts[0].higher_is_better
        return sorted(self.entries, key=lambda entry: -_merit(entry.mean(self.split, self.primary), higher))

    def against_best(self, entry: Entry) -> Verdict | None:
        """The verdict of an entry and the best; None of the best itself."""
        pair = {entry.name, self.best.name}
        return next((verdict for verdict in self.verdicts if {verdict.first, verdict.second} == pair), None)

    def labels(self) -> dict[str, str]:
        """By an entry's name, the settings in which it differs from others, in words."""
        words = differing.labels([entry.settings for entry in self.entries], [entry.name for entry in self.entries])
        return dict(zip((entry.name for entry in self.entries), words, strict=True))

    def to_frame(self) -> pandas.DataFrame:
        """A row an entry, the best first: `name`, the settings in which they differ; `run`; `seeds`; the score that
        decides with its interval `low`, `high`; `difference` to the best with `difference_low`, `difference_high`, its
        adjusted `p`, and whether it is `shown`; the other scores; costs.

        >>> frame = compare(["runs/a", "runs/b"]).to_frame()
        >>> frame[["run", "accuracy"]].values.tolist()
        [['a', 1.0], ['b', 1.0]]
        """
        import pandas

        labels = self.labels()
        frame = pandas.DataFrame([self._row(entry, labels[entry.name]) for entry in self.ranked])
        counts = ["trainable", "parameters", "peak_bytes"]
        return frame.astype({**dict.fromkeys(counts, "int64"), **dict.fromkeys(ENDS, "float64")})

    def _row(self, entry: Entry, name: str) -> dict[str, Any]:
        low, high = entry.interval(self.split, self.primary)
        row: dict[str, Any] = {"name": name, "run": entry.name, "seeds": len(entry.results)}
        row |= {self.primary: entry.mean(self.split, self.primary), "low": low, "high": high}
        verdict = self.against_best(entry)
        gap, sign = (None, 1) if verdict is None else (verdict.difference, 1 if verdict.first == entry.name else -1)
        ends = (None, None) if gap is None or gap.low is None or gap.high is None else (sign * gap.low, sign * gap.high)
        row |= {"difference": None if gap is None else sign * gap.value}
        row |= (
            {"difference_low": None, "difference_high": None}
            if ends[0] is None
            else {"difference_low": min(ends), "difference_high": max(ends)}
        )
        row |= {"p": verdict.adjusted if verdict else None, "shown": bool(verdict and verdict.better)}
        return row | {other: entry.mean(self.split, other) for other in self.metrics[1:]} | entry.cost()


def compare(folders: Sequence[str | Path], all_pairs: bool = False) -> Comparison:
    """Compares finished runs of one task on one test set.

    `folders`: run folders; any other folder stands for the runs under it. `all_pairs`: test every pair of entries, and
    not only the best with each of the others. Of two entries the difference is first minus second as they were given.

    The best is chosen by the scores that are tested then, which p does not know of: where all entries are equally
    good, one is called better in 5 of 100 comparisons of two entries, in 6 of three, 15 of ten and 23 of twenty. With
    `all_pairs` it is 5 at most, and fewer differences are shown.

    Raises MMTransferError for fewer than two entries, for a folder that is no finished run, for runs of different
    tasks, and for test data that are not the same.

    >>> comparison = compare(["runs/a", "runs/b"])
    >>> print(comparison.verdicts[0])
    no difference shown between a and b: accuracy +0.0000 (-0.2153 to +0.2153), p 1
    """
    loaded = load_runs(folders)
    primary, split = loaded[0].primary
    if primary not in METRICS:
        raise MMTransferError(
            f"There is no paired test for {primary}", str(loaded[0].place.path), suggestion(primary, METRICS)
        )
    entries = _entries(loaded, split, primary)
    metric = metric_of(primary, entries[0].predictions[0])
    if metric is None:
        raise damaged(loaded[0].place.predictions(split), ValueError(f"{primary} is no score of such answers"))
    metrics = (primary, *metric.beside)
    for run in loaded:
        lost = [name for name in metrics if name not in run.result["metrics"].get(split, {})]
        if lost:
            raise damaged(run.place.result, ValueError(f"metrics.{split}.{lost[0]} is missing"))
    if len(entries) < 2:
        raise MMTransferError(
            f"The {len(loaded)} runs differ in nothing but their seed, so there is one entry",
            ", ".join(str(run.place.path) for run in loaded),
            "give runs of other settings beside them",
        )
    best = max(entries, key=lambda entry: _merit(entry.mean(split, primary), metric.higher_is_better))
    pairs = [pair for pair in itertools.combinations(entries, 2) if all_pairs or best in pair]
    contrasts = {name: [_contrast(name, *pair) for pair in pairs] for name in metrics}
    adjusted = paired.holm([contrast.difference.p for contrast in contrasts[primary]])
    tested = sum(p is not None for p in adjusted)
    verdicts = [
        Verdict(**vars(contrast), adjusted=p, comparisons=tested, higher_is_better=metric.higher_is_better)
        for contrast, p in zip(contrasts[primary], adjusted, strict=True)
    ]
    told = [contrast for name in metric.beside for contrast in contrasts[name]]
    task = loaded[0].result["task"]
    return Comparison(task, split, metrics, metric.counted, entries, best, all_pairs, verdicts, told)


def _crossed(drawn: crossed.Drawn, runs: int) -> tuple[float, float]:
    return crossed.crossed(drawn.statistic, drawn.units, runs, drawn.share, drawn.lowest)


def _contrast(name: str, first: Entry, second: Entry) -> Contrast:
    metric = metric_of(name, first.predictions[0])
    assert metric is not None  # the primary one gives its own name, and is told beside none that it does not know
    return Contrast(name, first.name, second.name, metric.difference(name, first.predictions, second.predictions))


def _merit(value: float | None, higher_is_better: bool) -> float:
    """The value, or minus it: more is better; none is worst."""
    if value is None:
        return -float("inf")
    return value if higher_is_better else -value


def _entries(loaded: Sequence[Loaded], split: str, primary: str) -> list[Entry]:
    groups = grouped(loaded)
    names = _names(groups)
    for name, runs in zip(names, groups, strict=True):
        seeds = [run.result["seed"] for run in runs]
        if len(set(seeds)) < len(seeds):
            raise MMTransferError(
                f"Runs of the same settings and seed: {seeds}",
                ", ".join(str(run.place.path) for run in runs),
                f"give one of them ({name})",
            )
    needed = list(dict.fromkeys(["id", *(name for kind in METRICS[primary] for name in kind.columns)]))
    predictions = {
        run.place.path: columns(run.place, split, needed, ["target", "prediction", "speaker"]) for run in loaded
    }
    ids = predictions[loaded[0].place.path]["id"]
    for path, found in predictions.items():
        if found["id"] != ids:
            raise MMTransferError("The predictions are of other examples than result.json", str(path), "run it again")
    return [
        Entry(
            name,
            [run.result for run in runs],
            [predictions[run.place.path] for run in runs],
            runs[0].config,
            [run.place.path for run in runs],
        )
        for name, runs in zip(names, groups, strict=True)
    ]


def _names(groups: Sequence[Sequence[Loaded]]) -> list[str]:
    """Short names: of one run its folder's, of several what their folders' names begin with, or the folder around."""
    names = []
    for runs in groups:
        folders = [run.place.path.resolve() for run in runs]
        name = folders[0].parent.name if SEED.fullmatch(folders[0].name) else folders[0].name
        if len(folders) > 1:
            common = os.path.commonprefix([folder.name for folder in folders]).rstrip("-_0123456789")
            name = f"{folders[0].parent.name if common in ('', 'seed') else common} ({len(folders)} seeds)"
        names.append(name)
    if len(set(names)) < len(names):
        names = [str(runs[0].place.path) + (f" ({len(runs)} seeds)" if len(runs) > 1 else "") for runs in groups]
    return names
