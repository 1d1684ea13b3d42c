"""What the command line prints at the end of a run: one table, and a line each of what else one asks first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmtransfer import launcher, showing
from mmtransfer.cli import tables
from mmtransfer.cli.layout import show_line
from mmtransfer.terminal import visible

if TYPE_CHECKING:
    from mmtransfer.api import Run

PER_CLASS = "f1["
"""How the names of the scores begin by which classes are ranked."""


def show(run: Run) -> None:
    """Test scores with intervals, validation in a line (in the table where there is no test), the worst class; time,
    where the run is and what to do with it."""
    if not launcher.is_main():
        return
    splits = sorted(run.result["metrics"], key=lambda split: split != "test")
    primary = run.result["primary"]["name"]
    for split in splits[:1]:
        named = {name: run.metrics[split][name] for name in showing.telling(run.metrics[split], primary, _classes(run))}
        tables.show_scores(_title(run, split), named)
    for split in splits[1:]:
        score = run.metrics[split][primary]
        print(visible(f"{_title(run, split)}: {primary} {score}, n={score.n}"))
    worst = _worst(run, splits[0]) if splits else None
    if worst is not None:
        show_line(f"worst class: {worst}")
    for split, errors in list((run.result.get("errors") or {}).items())[-1:]:
        show_line(often_wrong(split, errors))
    place = visible(str(run.folder.path))
    print(f"{run.result['seconds']['total']:.0f} s; the run is in {place}")
    print(f"next: mmtransfer predict {place} INPUT")


def often_wrong(split: str, errors: Mapping[str, Any]) -> str:
    """The words that a transcript has most often wrong, in one line."""
    rows = [(row["times"], f"{row['said']} as {row['heard']}") for row in errors["substituted"]]
    rows += [(row["times"], f"{row['said']} not at all") for row in errors["deleted"]]
    rows += [(row["times"], f"{row['heard']} where it was not said") for row in errors["inserted"]]
    told = [f"{what} ({times} times)" for times, what in sorted(rows, key=lambda row: -row[0]) if times > 1]
    return f"{split}, most often heard wrong: {', '.join(told[:5]) or 'no word more than once'}"


def _title(run: Run, split: str) -> str:
    """With where the examples are from: there may have been no data of that name."""
    phase, joined = run.result["phases"][-1], run.config.join_validation or 0
    if split in (run.result["data"] or {}):
        learnt = split == "validation" and joined and phase["epochs"] > run.config.epochs - joined
        return split + (", before the last epochs on all data" if learnt else "")
    folds = phase["folds"]
    return split + (", cross-validated on the training data" if folds else ", before the last training on all data")


def _classes(run: Run) -> int | None:
    """How many classes there are; None where answers are none."""
    names = run.folder.read(run.folder.model / "task.json", {"state": {}})["state"].get("labels")
    return len(names) if isinstance(names, list) else None


def _worst(run: Run, split: str) -> str | None:
    """The class with the lowest F1, with its interval where that is kept; None where there are no classes."""
    metrics = run.metrics[split]
    kept = {name[len(PER_CLASS) : -1]: score for name, score in metrics.items() if name.startswith(PER_CLASS)}
    known = {name: score for name, score in kept.items() if score.value is not None and score.n}
    if known:
        name = min(known, key=lambda name: known[name].value or 0.0)
        return f"{name}, F1 {known[name]}, n={known[name].n}"
    if kept or "f1_macro" not in metrics:
        return None
    records = run.folder.read_predictions(split, without=("logits", "loss"), needed=("target", "prediction"))
    if not all(isinstance(target, str) for target in records["target"]):
        return None
    found = _f1(records)
    name = min(found, key=lambda name: found[name])
    return f"{name}, F1 {found[name]:.4f}, n={records['target'].count(name)}"


def _f1(records: Mapping[str, list[Any]]) -> dict[str, float]:
    """F1 of each class that the data have."""
    true, said = Counter(records["target"]), Counter(records["prediction"])
    pairs = zip(records["target"], records["prediction"], strict=True)
    right = Counter(target for target, answer in pairs if target == answer)
    return {name: 2 * right[name] / (true[name] + said[name]) for name in true}
