"""The best model for a budget, in one call: probes, successive halving, and one run folder at the end."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from mmtransfer import strategies
from mmtransfer.api import Run, load
from mmtransfer.backbones import check as check_backbone
from mmtransfer.config import RunConfig
from mmtransfer.defaults import without_data
from mmtransfer.engine import processes
from mmtransfer.engine.signals import Interrupted, collected
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.lock import Lock
from mmtransfer.preparation import Prepared
from mmtransfer.rank import is_about, named
from mmtransfer.reporting import hearing_warnings
from mmtransfer.run import RunFolder, default_name, environment
from mmtransfer.search import final, refitting, sources, tuning
from mmtransfer.search.budget import Budget
from mmtransfer.search.halving import Plan
from mmtransfer.search.journal import TRIALS, Search, told_of
from mmtransfer.search.probing import look, probe, widen
from mmtransfer.search.sources import Source
from mmtransfer.search.trial import Bench, Trial
from mmtransfer.tasks import TASKS

logger = logging.getLogger("mmtransfer")
Prefer = Literal["accuracy", "speed", "size"]
FETCHING = 0.1
"""Of the budget, what fetching backbones may take."""
MINUTES = 10.0
UNREAD = ("backbone", "stop_after", "join_validation", "track", "resume", "overwrite", "out", "based_on")
"""Settings of `fit` that are the search's own, or that it does not read."""


def auto(
    task: str,
    train: Any = None,
    *,
    backbones: Sequence[str] | None = None,
    max_minutes: float | None = None,
    prefer: Prefer | None = None,
    max_parameters: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    started: float | None = None,
    **fields: Any,
) -> Run:
    """Finds the best model for the data within a budget of minutes, and writes its run folder.

    Exact probes on cached features choose the backbones; ways to adapt them are tried by successive halving (Jamieson &
    Talwalkar 2016), by validation scores; the best is trained again on all data where there are few, else in its last
    epochs, and scored on the test data, which nothing else looks at. OUT/auto.json tells every trial.

    Args:
        task: such as `text-classification`.
        train: training data, as `fit` takes them; so are `validation` and `test`, among the `fields`.
        backbones: names as `--backbone` takes them, or NAME=WEIGHTS; by default the built-in one, what the caches of
            torch and of the hub hold, and a short list where the network answers.
        max_minutes: budget, everything included, from `started` on, over all starts of the search; 10 if None.
        prefer: among backbones that the probes do not tell apart, the fastest or the smallest instead of the best.
        max_parameters: of a backbone, at most.
        out: the run folder; runs/TASK-DATE-TIME if None.
        resume: go on with the search in `out`.
        overwrite: replace the run in `out`.
        started: time since the epoch that the budget counts from; now if None.
        fields: settings of `fit`; what is given is not searched over.

    Raises MMTransferError for what a user can mend, such as backbones of which none can be had.

    >>> data = {"train": "train.csv", "test": "test.csv"}
    >>> run = mmt.auto("text-classification", **data, backbones=["path/to/bert"], max_minutes=0.05, out="runs/auto")
    >>> run.result["status"], (run.folder.path / "auto.json").exists()
    ('finished', True)
    """
    started, warnings, place = started or time.time(), list[str](), RunFolder(Path(out or default_name(task)))
    own = {"backbones": backbones, "prefer": prefer, "max_parameters": max_parameters, "max_minutes": max_minutes}
    given = {name: value for name, value in {"train": train, **fields}.items() if value is not None}
    saved = told_of(place) if resume else None
    if saved is not None and saved["status"] == "finished":
        logger.info("%s has finished; nothing to resume", place.path)
        return load(place.path)
    with hearing_warnings(warnings), collected() as signals:
        search = _begun(task, given, own, place, started, saved, signals)
        if saved is None:
            place.check(overwrite, search.settings)
        _in_its_folder(search, saved is None, overwrite, warnings)
    return load(place.path)


def outlook(task: str, train: Any = None, *, started: float | None = None, **given: Any) -> Search:
    """What `auto` with these arguments would try: backbones and their speed in `facts`, the rungs in `plan`.

    Nothing is trained, and nothing is written.
    """
    own = {name: given.pop(name, None) for name in ("backbones", "prefer", "max_parameters", "max_minutes")}
    given = {name: value for name, value in given.items() if name not in ("out", "overwrite", "resume")}
    given = {name: value for name, value in {"train": train, **given}.items() if value is not None}
    started = started or time.time()
    with tempfile.TemporaryDirectory() as place:
        search = _begun(task, {**given, "cache_dir": place}, own, RunFolder(Path(place)), started, None, ())
        for source in _sources(search, fetch=False):
            _look(search, source)
        if not search.facts:
            raise _nothing(search)
        tuning.plan(search)
        return search


def _begun(
    task: str,
    given: Mapping[str, Any],
    own: Mapping[str, Any],
    folder: RunFolder,
    started: float,
    saved: Mapping[str, Any] | None,
    signals: Sequence[int],
) -> Search:
    """A search with these settings, over those of an earlier start."""
    own = {name: value for name, value in own.items() if value is not None}
    if saved is not None:
        given, own = {**saved["settings"], **given}, {**saved["search"], **own}
    own = {"prefer": "accuracy", "max_minutes": MINUTES, **own}
    if not isinstance(given.get("strategy", ""), str):
        made = given["strategy"]
        given = {**given, "strategy": strategies.name_of(made), "strategy_options": dataclasses.asdict(made)}
    _check(task, given, own)
    accelerator = processes.accelerator()
    if accelerator.num_processes > 1:
        raise MMTransferError("A search runs in one process", "mmtransfer auto", "start it without a launcher")
    budget = Budget(started, 60.0 * own["max_minutes"], saved["seconds"]["spent"] if saved else 0.0)
    search = Search(task, given, own, folder, budget, Bench(accelerator, signals))
    if saved is not None:
        search.earlier = {(trial["backbone"], trial["way"]): trial for trial in saved["trials"]}
        search.plan = Plan(**saved["plan"]) if saved["plan"] else None
    search.bench.set_up(search.probed("builtin"))  # what is wrong with the settings is said before there is a folder
    return search


def _check(task: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises MMTransferError for what can be seen to be wrong before anything is loaded."""
    TASKS[task]
    if given.get("train") is None:
        raise without_data(task)
    if own["prefer"] not in get_args(Prefer):
        raise unknown("--prefer", str(own["prefer"]), get_args(Prefer), "--prefer")
    if not own["max_minutes"] > 0:
        given_minutes = f"--max-minutes {own['max_minutes']:g}"
        raise MMTransferError(f"{given_minutes} leaves no time", given_minutes, "give more than 0")
    if given.get("shots") == 0:
        raise MMTransferError("Without examples there is nothing to search by", "--shots 0", "give --shots 1 or more")
    for name in UNREAD:
        if name in given:
            raise MMTransferError(f"auto does not read --{name.replace('_', '-')}", "the settings", "leave it out")
    for backbone in own.get("backbones") or ():
        check_backbone(named(backbone)["backbone"])


def _in_its_folder(search: Search, new: bool, overwrite: bool, warnings: Sequence[str]) -> None:
    """Searches while nobody else may write to the folder. `new`: whether it is none that goes on."""
    place = search.folder
    lock = Lock(place.path)
    try:
        place.make()
        lock.acquire()
        if new:
            place.empty(overwrite, search.settings)
        place.write(place.path / "environment.json", environment(search.bench.machine.threads))
        search.write("searching")
        _run(search, lock, warnings)
    finally:
        lock.release()


def _run(search: Search, lock: Lock, warnings: Sequence[str]) -> None:
    """The order of a search."""
    command = f"mmtransfer auto {search.task} --resume --out {search.folder.path}"
    for source in _sources(search):
        found = None if search.stopped() else _look(search, source)
        if found is not None:
            probe(search, source.name, *found)
    if not search.facts and not search.stopped():
        raise _nothing(search)
    if not search.stopped():
        widen(search)
    if not search.stopped():
        tuning.tune(search)
    if search.best() is None:
        search.write("stopped" if search.stopped() else "failed")
        if search.stopped():
            raise Interrupted(search.bench.signals[0], command, search.folder.path)
        why = next((trial.why for trial in search.trials if trial.why), "nothing could be tried")
        raise MMTransferError(f"No training has succeeded: {why}", f"--out {search.folder.path}", "see auto.json there")
    chosen, again = _chosen(search)
    seen = again is not None or chosen.steps > chosen.last
    final.finish(search, again or chosen, lock, warnings, chosen.records if seen else None)
    stopped = search.stopped()
    search.write("stopped" if stopped else "finished", final.about(again or chosen))
    if stopped:
        logger.warning("the search was stopped; this is the best so far. Go on with: %s", command)
    else:
        shutil.rmtree(search.folder.path / TRIALS, ignore_errors=True)


def _chosen(search: Search) -> tuple[Trial, Trial | None]:
    """The best trial, and what it has become on all data; None where that has not come, which may make another best."""
    chosen = final.choose(search, goes_on=not search.stopped())
    again = refitting.end(search, chosen)
    return (chosen, again) if again is not None else (final.choose(search, goes_on=False), None)


def _sources(search: Search, fetch: bool = True) -> list[Source]:
    """The backbones to try, in this order; `fetch`: whether those that are not here may be fetched."""
    asked = search.options.get("backbones")
    if asked:
        return [Source(name, "--backbones") for name in asked]
    return sources.available(search.task, TASKS[search.task].modality, FETCHING * search.budget.left if fetch else 0.0)


def _look(search: Search, source: Source) -> tuple[RunConfig, Prepared] | None:
    """What the probe of a backbone starts from; None for one that cannot be had, which is told and left out."""
    found = None
    try:
        found = look(search, source.name, source.bytes)
    except MMTransferError as error:
        if not is_about(error, search.probed(source.name)):
            raise
        search.missing[source.name] = error.what
    if source.name in search.missing:
        logger.warning("auto: %s is left out: %s", source.name, search.missing[source.name])
    return found


def _nothing(search: Search) -> MMTransferError:
    """The error for a search without any backbone; it names what was looked for."""
    told_of = "; ".join(f"{name}: {why}" for name, why in search.missing.items()) or "there were none"
    limit = search.options.get("max_parameters")
    if limit is not None and all("--max-parameters" in why for why in search.missing.values()):
        where, do = f"--max-parameters {limit}", "give more, or other --backbones"
    else:
        where, do = "--backbones", "give --backbones that are on this machine, such as builtin"
    looked = "" if search.options.get("backbones") else f" Looked for: {sources.looked_for(search.task)}."
    return MMTransferError(f"No backbone can be had ({told_of}).{looked}", where, do)
