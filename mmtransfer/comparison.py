"""Finished runs side by side: scores with intervals, what they cost, and whether they differ on the same examples.

Runs that differ in nothing but their seed count as one entry. Differences are tested on what predictions/SPLIT.parquet
holds, pair by pair, with p values adjusted for all of the table (Holm 1979). Not finding a difference is an outcome,
and is called so.
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
import pyarrow.parquet

from mmtransfer.config import read
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import F1, Margins, paired
from mmtransfer.metrics.paired import Difference
from mmtransfer.run import RunFolder, scored_on
from mmtransfer.terminal import visible

LEVEL = 0.05
"""An adjusted p below it is a difference."""
TESTED: Mapping[str, tuple[str, ...]] = {"accuracy": ("accuracy", "f1_macro"), "wer": ("wer",)}
"""By primary metric, what is tested."""
HIGHER_IS_BETTER = {"accuracy": True, "f1_macro": True, "wer": False}
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
class Verdict:
    """A metric's difference between two entries, first minus second; `adjusted` is p for all of the table."""

    metric: str
    first: str
    second: str
    difference: Difference
    adjusted: float | None

    @property
    def better(self) -> str | None:
        """The entry that is better, None where no difference is shown."""
        if self.adjusted is None or self.adjusted >= LEVEL:
            return None
        return self.first if (self.difference.value > 0) == HIGHER_IS_BETTER[self.metric] else self.second

    def __str__(self) -> str:
        found, interval = self.difference, ""
        if found.low is not None and found.high is not None:
            interval = f" ({found.low:+.4f} to {found.high:+.4f})"
        p = "no test" if self.adjusted is None else f"p {self.adjusted:.2g}"
        numbers = f"{self.metric} {found.value:+.4f}{interval}, {p}"
        if self.better is None:
            return f"no difference shown between {self.first} and {self.second}: {numbers}"
        other = self.second if self.better == self.first else self.first
        return f"{self.better} is better than {other}: {self.first} minus {self.second}, {numbers}"


@dataclass(frozen=True)
class Comparison:
    """Entries in the order given, and a verdict for every metric and every pair of them."""

    task: str
    split: str
    metrics: Sequence[str]
    entries: Sequence[Entry]
    verdicts: Sequence[Verdict]


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Compares finished runs of one task on one test set.

    `folders`: run folders; a folder of run folders stands for those in it. Raises MMTransferError for fewer than two
    entries, for a folder that is no finished run, for runs of different tasks, and for test data that are not the same.
    """
    places = [place for folder in folders for place in _runs(Path(folder))]
    loaded = [(place, *_read(place)) for place in places]
    if len(loaded) < 2:
        raise MMTransferError(
            f"There is {len(loaded)} run to compare", str(places[0].path if places else "compare"), "give two or more"
        )
    paths = [os.path.realpath(place.path) for place in places]
    for path in paths:
        if paths.count(path) > 1:
            raise MMTransferError("The run is given twice", path, "give each run once")
    _same_task(loaded)
    split = loaded[0][2]["primary"]["split"]
    _same_data(loaded, split)
    primary = loaded[0][2]["primary"]["name"]
    if primary not in TESTED:
        known = ", ".join(TESTED)
        raise MMTransferError(
            f"There is no paired test for {primary}", str(places[0].path), f"compare runs by one of {known}"
        )
    entries = _entries(loaded, split)
    if len(entries) < 2:
        raise MMTransferError(
            f"The {len(loaded)} runs differ in nothing but their seed, so there is one entry",
            ", ".join(str(place.path) for place in places),
            "give runs of other settings beside them",
        )
    found = [
        (metric, first, second, _difference(metric, first, second))
        for metric in TESTED[primary]
        for first, second in itertools.combinations(entries, 2)
    ]
    adjusted = paired.holm([difference.p for *_, difference in found])
    verdicts = [
        Verdict(metric, first.name, second.name, difference, p)
        for (metric, first, second, difference), p in zip(found, adjusted, strict=True)
    ]
    return Comparison(loaded[0][2]["task"], split, TESTED[primary], entries, verdicts)


Loaded = tuple[RunFolder, dict[str, Any], dict[str, Any]]
"""A run's folder, config.json and result.json."""


def _runs(path: Path) -> list[RunFolder]:
    """The run in a folder, or the runs in the folders of one that is none itself."""
    folder = RunFolder(path)
    if folder.config.exists() or not path.is_dir():
        return [folder]
    inner = [RunFolder(child) for child in sorted(path.iterdir()) if (child / "config.json").exists()]
    return inner or [folder]


def _read(place: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    result = place.read_result()
    if result["status"] != "finished":
        raise MMTransferError(
            f"The run has not finished: its status is {result['status']}",
            str(place.path),
            f"go on with it: mmtransfer fit {result['task']} --resume --out {place.path}",
        )
    return read(place.config), result


def _same_task(loaded: Sequence[Loaded]) -> None:
    tasks = {result["task"]: place.path for place, _, result in reversed(loaded)}
    if len(tasks) > 1:
        listing = "; ".join(f"{path} is {task}" for task, path in reversed(tasks.items()))
        raise MMTransferError("The runs are of different tasks", listing, "compare runs of one task")


def _same_data(loaded: Sequence[Loaded], split: str) -> None:
    """Raises MMTransferError naming what differs where the runs were not scored on the same examples."""
    first, _, expected = loaded[0]
    for place, _, result in loaded[1:]:
        where = f"{first.path} and {place.path}"
        if result["primary"]["split"] != split:
            raise MMTransferError(
                f"One run is scored on {split}, the other on {result['primary']['split']} data",
                where,
                "run both with the same --test",
            )
        own, theirs = scored_on(expected, split), scored_on(result, split)
        if own["fingerprint"] == theirs["fingerprint"]:
            continue
        do = "score both on one set: mmtransfer evaluate RUN --test DATA, or run them again with the same data"
        raise MMTransferError(f"The {split} data differ: {_what_differs(first, place, own, theirs, split)}", where, do)


def _what_differs(
    first: RunFolder, second: RunFolder, own: Mapping[str, Any], theirs: Mapping[str, Any], split: str
) -> str:
    found = []
    if own["source"] != theirs["source"]:
        found.append(f"source {own['source']} and {theirs['source']}")
    if own["n"] != theirs["n"]:
        found.append(f"{own['n']} and {theirs['n']} examples")
    ids = [set(_columns(folder, split, ["id"])["id"]) for folder in (first, second)]
    for folder, only in ((first, ids[0] - ids[1]), (second, ids[1] - ids[0])):
        if only:
            found.append(f"{len(only)} ids only in {folder.path} (such as {min(only)!r})")
    if ids[0] == ids[1]:
        targets = [_columns(folder, split, ["id", "target"]) for folder in (first, second)]
        changed = [one for one, other in zip(*map(_pairs, targets), strict=True) if one != other]
        what = f"{len(changed)} other answers, first of {changed[0][0]!r}" if changed else "other contents"
        found.append(f"the same ids with {what}")
    return "; ".join(found)


def _pairs(columns: Mapping[str, list[Any]]) -> list[tuple[Any, Any]]:
    return list(zip(columns["id"], columns["target"], strict=True))


def _columns(folder: RunFolder, split: str, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Columns of the stored predictions, sorted by id."""
    path = folder.predictions(split)
    if not path.exists():
        raise MMTransferError("The predictions are missing", str(path), "run it again")
    kept = [name for name in pyarrow.parquet.read_schema(path).names if name not in ("logits", "top5")]
    table = pyarrow.parquet.read_table(path, columns=list(names or kept)).sort_by("id")
    return {name: table[name].to_pylist() for name in table.column_names}


def _entries(loaded: Sequence[Loaded], split: str) -> list[Entry]:
    groups: dict[str, list[Loaded]] = {}
    for run in loaded:
        settings = {name: value for name, value in run[1].items() if name not in NO_SETTINGS}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    names = _names(list(groups.values()))
    for name, runs in zip(names, groups.values(), strict=True):
        seeds = [result["seed"] for _, _, result in runs]
        if len(set(seeds)) < len(seeds):
            raise MMTransferError(
                f"Runs of the same settings and seed: {seeds}",
                ", ".join(str(place.path) for place, _, _ in runs),
                f"give one of them ({name})",
            )
    return [
        Entry(name, [result for _, _, result in runs], [_columns(place, split) for place, _, _ in runs])
        for name, runs in zip(names, groups.values(), strict=True)
    ]


def _names(groups: Sequence[Sequence[Loaded]]) -> list[str]:
    """Short names: of one run its folder's, of several what their folders' names begin with, or the folder around."""
    names = []
    for runs in groups:
        folders = [place.path.resolve() for place, _, _ in runs]
        name = folders[0].name
        if len(folders) > 1:
            common = os.path.commonprefix([folder.name for folder in folders]).rstrip("-_0123456789")
            name = f"{folders[0].parent.name if common in ('', 'seed') else common} ({len(folders)} seeds)"
        names.append(name)
    if len(set(names)) < len(names):
        names = [str(runs[0][0].path) + (f" ({len(runs)} seeds)" if len(runs) > 1 else "") for runs in groups]
    return names


def _difference(metric: str, first: Entry, second: Entry) -> Difference:
    one, other = first.predictions, second.predictions
    if metric == "wer":
        edits = [
            [np.array(run["substitutions"]) + np.array(run["deletions"]) + np.array(run["insertions"]) for run in runs]
            for runs in (one, other)
        ]
        speakers = one[0].get("speaker") or [None] * len(one[0]["id"])
        groups = [name or f"recording {place}" for place, name in enumerate(speakers)]
        unit = "recording" if all(name is None for name in speakers) else "speaker"
        return paired.jackknife_difference(edits[0], edits[1], np.array(one[0]["words"]), groups, unit)
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


def show(comparison: Comparison) -> None:
    """Prints scores, costs and verdicts."""
    from rich.console import Console
    from rich.table import Table

    note = "" if comparison.split == "test" else " (it chose the epochs: scores are a little too good)"
    entries = comparison.entries
    table = Table("", title=f"{comparison.task}, {comparison.split}{note}", title_justify="left")
    for entry in entries:
        table.add_column(visible(entry.name))
    for metric in comparison.metrics:
        table.add_row(metric, *(spoken(entry.scores(comparison.split, metric)) for entry in entries))
    for name, key, told in (
        ("seconds", "seconds", "{:.0f}".format),
        ("of these training", "train_seconds", "{:.0f}".format),
        ("examples/s", "examples_per_second", "{:.1f}".format),
        ("trained parameters", "trainable", _short),
        ("all parameters", "parameters", _short),
        ("peak memory, MiB", "peak_bytes", lambda size: f"{size / 2**20:.0f}"),
    ):
        table.add_row(name, *(told(entry.cost()[key]) for entry in entries))
    console = Console()
    # what is not a terminal has no width of its own: no line of the table is folded there
    console.print(table, width=None if console.is_terminal else max(80, 24 + 30 * len(entries)), crop=False)
    for verdict in comparison.verdicts:
        print(visible(str(verdict)))
    n, methods = comparison.verdicts[0].difference.n, dict.fromkeys(v.difference.method for v in comparison.verdicts)
    unit = "reference words" if comparison.metrics[0] == "wer" else "examples"
    print(
        f"intervals are 95 %; {n} {unit}; {'; '.join(methods)}; p adjusted for {len(comparison.verdicts)} tests (Holm)"
    )


def spoken(scores: Sequence[Mapping[str, Any]]) -> str:
    """A score with its interval; of several seeds the mean and the range of the runs."""
    if len(scores) > 1:
        values = [score["value"] for score in scores]
        return f"{statistics.fmean(values):.4f} (runs {min(values):.4f} to {max(values):.4f})"
    score = scores[0]
    interval = "" if score["low"] is None else f" ({score['low']:.4f} to {score['high']:.4f})"
    return f"{score['value']:.4f}{interval}"


def _short(count: float) -> str:
    """12,345,678 -> 12.3 M"""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{count:.0f}"
