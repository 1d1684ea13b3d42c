"""Finished runs that can be compared: found in folders, read, and known to be scored on the same examples; those of the
same settings together.

Predictions are paired by the ids of their examples, so the same rows in another order, or under other names, are not
the same data here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmtransfer.errors import MMTransferError
from mmtransfer.run import RunFolder, scored_on

AGAIN = "score both on one set: mmtransfer evaluate RUN --test DATA, or run them again with the same data"
NO_SETTINGS = {"seed", "out", "resume", "overwrite", "threads", "workers", "log_every", "checkpoint_every"}
NO_SETTINGS |= {"checkpoint_minutes", "keep_checkpoints", "track"}
"""Fields in which runs of one entry may differ."""
CHOSEN = {"precision", "layout"}
"""Fields in which runs of one entry may differ where each has a seed of its own: a trial may have set them."""


class Loaded(NamedTuple):
    """A run's folder, config.json and result.json."""

    place: RunFolder
    config: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def primary(self) -> tuple[str, str]:
        """Metric and split that the run is judged by."""
        return self.result["primary"]["name"], self.result["primary"]["split"]


def load_runs(folders: Sequence[str | Path]) -> list[Loaded]:
    """The runs in `folders`, each once, of one task and one primary metric, scored on the same examples.

    A folder that is no run stands for all runs under it, however deep. Raises MMTransferError where they are not so.
    """
    places = [place for folder in folders for place in runs_in(Path(folder))]
    loaded = [_read(place) for place in places]
    if len(loaded) < 2:
        what = "There is only one finished run to compare" if loaded else "There are no finished runs to compare"
        raise MMTransferError(what, str(places[0].path if places else "compare"), "give two or more")
    paths = [os.path.realpath(place.path) for place in places]
    for path in paths:
        if paths.count(path) > 1:
            raise MMTransferError("The run is given twice", path, "give each run once")
    _same({run.result["task"]: run for run in reversed(loaded)}, "of different tasks", "is", "runs of one task")
    by_metric = {run.primary[0]: run for run in reversed(loaded)}
    _same(by_metric, "judged by different metrics", "by", "runs of one kind of answer (--target)")
    by_rule = {run.config.get("text_rule") or "none": run for run in reversed(loaded)}
    _same(by_rule, "scored under different text rules", "under", "runs of one --text-rule")
    _same_data(loaded)
    return loaded


def runs_in(path: Path) -> list[RunFolder]:
    """The run in a folder, or the runs under one that is none itself."""
    if os.path.exists(path / "config.json") or not os.path.isdir(path):
        return [RunFolder(path)]
    return list(_under(path, set())) or [RunFolder(path)]


def _under(path: Path, seen: set[str]) -> Iterator[RunFolder]:
    """Runs in the folders of `path`, by name, each once however many links lead to it; those inside a run and in hidden
    folders (shared weights) are none."""
    seen.add(os.path.realpath(path))
    try:
        inner = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise MMTransferError(f"The folder cannot be read: {error.strerror}", str(path), "give the runs") from None
    for child in inner:
        if os.path.realpath(child) in seen:
            continue
        if _is_run(child):
            seen.add(os.path.realpath(child))
            yield RunFolder(child)
        else:
            yield from _under(child, seen)


def _is_run(path: Path) -> bool:
    """Whether a folder is a run, finished or not; a checkpoint of transformers has a config.json, too."""
    return (path / "config.json").exists() and any(
        (path / name).exists() for name in ("result.json", "environment.json")
    )


def _read(place: RunFolder) -> Loaded:
    result = place.read_result()
    if result["status"] != "finished":
        raise MMTransferError(
            f"The run has not finished: its status is {result['status']}",
            str(place.path),
            f"go on with it: mmtransfer fit {result['task']} --resume --out {place.path}",
        )
    return Loaded(place, place.read_config(), result)


def _same(runs: dict[str, Loaded], what: str, verb: str, wanted: str) -> None:
    """Raises MMTransferError where there is more than one kind of runs; `runs`: one of each kind, the first last."""
    if len(runs) > 1:
        listing = "; ".join(f"{run.place.path} {verb} {kind}" for kind, run in reversed(runs.items()))
        raise MMTransferError(f"The runs are {what}", listing, f"compare {wanted}")


def _same_data(loaded: Sequence[Loaded]) -> None:
    """Raises MMTransferError naming what differs where the runs were not scored on the same examples."""
    first, split = loaded[0], loaded[0].primary[1]
    for run in loaded[1:]:
        where = f"{first.place.path} and {run.place.path}"
        if run.primary[1] != split:
            raise MMTransferError(
                f"One run is scored on {split}, the other on {run.primary[1]} data",
                where,
                "run both with the same --test",
            )
        own, theirs = scored_on(first.result, split), scored_on(run.result, split)
        if own["fingerprint"] == theirs["fingerprint"]:
            continue
        ids = [set(columns(one.place, split, ["id"])["id"]) for one in (first, run)]
        if own.get("content") and own["content"] == theirs.get("content"):  # results of version 0.1 do not have it
            how = "in another order" if ids[0] == ids[1] else f"under other ids (such as {_example(ids)})"
            raise MMTransferError(
                f"The {split} data hold the same rows {how}, but predictions are paired by id",
                where,
                "run one of them again on the other's file; without pairing: mmtransfer evaluate RUN --test DATA",
            )
        found = _what_differs(first.place, run.place, own, theirs, split, ids)
        raise MMTransferError(f"The {split} data differ: {found}", where, AGAIN)


def _example(ids: Sequence[set[str]]) -> str:
    return " and ".join(repr(min(own - other)) for own, other in (ids, ids[::-1]) if own - other)


def _what_differs(
    first: RunFolder,
    second: RunFolder,
    own: Mapping[str, Any],
    theirs: Mapping[str, Any],
    split: str,
    ids: Sequence[set[str]],
) -> str:
    found = []
    if own["source"] != theirs["source"]:
        found.append(f"source {own['source']} and {theirs['source']}")
    if own["n"] != theirs["n"]:
        found.append(f"{own['n']} and {theirs['n']} examples")
    for folder, only in ((first, ids[0] - ids[1]), (second, ids[1] - ids[0])):
        if only:
            found.append(f"{len(only)} ids only in {folder.path} (such as {min(only)!r})")
    if ids[0] == ids[1]:
        targets = [columns(folder, split, ["id", "target"]) for folder in (first, second)]
        changed = [one for one, other in zip(*map(_pairs, targets), strict=True) if one != other]
        what = f"{len(changed)} other answers, first of {changed[0][0]!r}" if changed else "other contents"
        found.append(f"the same ids with {what}")
    return "; ".join(found)


def _pairs(found: Mapping[str, list[Any]]) -> list[tuple[Any, Any]]:
    return list(zip(found["id"], found["target"], strict=True))


def columns(folder: RunFolder, split: str, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns of the stored predictions, sorted by id; MMTransferError for a file that does not have all of `names`."""
    found = folder.read_predictions(split, without=("logits", "top5"), needed=names)
    return {name: found[name] for name in (*names, *optional) if name in found}


def grouped(loaded: Sequence[Loaded]) -> list[list[Loaded]]:
    """Runs of the same settings, as they come. What a machine may have chosen, for one seed otherwise than for another,
    tells no seeds apart, only runs of the same seed."""
    alike: dict[str, list[Loaded]] = {}
    for run in loaded:
        alike.setdefault(_without(run.config, NO_SETTINGS | CHOSEN), []).append(run)
    groups: dict[str, list[Loaded]] = {}
    for runs in alike.values():
        once = len({run.result["seed"] for run in runs}) == len(runs)
        for run in runs:
            groups.setdefault(_without(run.config, NO_SETTINGS | (CHOSEN if once else set())), []).append(run)
    return list(groups.values())


def _without(config: Mapping[str, Any], names: Collection[str]) -> str:
    return json.dumps({name: value for name, value in config.items() if name not in names}, sort_keys=True)
