"""Every strategy on every backbone with several seeds, within a budget of minutes, and the comparison of them all."""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtransfer import disk, documents, lock, strategies
from mmtransfer.api import fit
from mmtransfer.comparison import Comparison, compare
from mmtransfer.config import FIELDS, TASKS, told
from mmtransfer.control import comparable
from mmtransfer.defaults import without_data
from mmtransfer.documents import PROGRAM, Form
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError, damaged, unknown
from mmtransfer.rank import named
from mmtransfer.rehearsal import dry_run
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder, default_name

logger = logging.getLogger("mmtransfer")
FILE = "sweep.json"
FORM: Mapping[Any, Form] = {"program": str, "task": str, "settings": {}, "spent": float}
OWN = ("strategy", "backbone", "seed", "out", "resume", "overwrite", "repeats")
"""Settings that are the sweep's own."""
MARGIN = 1.2
"""Over what a run is expected to take."""


@dataclass
class Sweep:
    """What a sweep has come to."""

    folder: Path
    comparison: Comparison | None
    """None where fewer than two configurations have been run."""
    done: list[Path] = field(default_factory=list)
    """Folders of the runs that have finished."""
    left_out: dict[str, str] = field(default_factory=dict)
    """By folder of a run that has not, why."""


@dataclass(frozen=True)
class Planned:
    """A run that is to be."""

    configuration: str
    """The name of its folder without the seed's."""
    seed: int
    settings: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return f"{self.configuration}/seed-{self.seed}"


def sweep(
    task: str,
    train: Any = None,
    *,
    strategies: Sequence[str] = (),
    backbones: Sequence[str] = (),
    seeds: int = 1,
    max_minutes: float | None = None,
    out: str | Path | None = None,
    **fields: Any,
) -> Sweep:
    """Runs every strategy on every backbone with every seed, and compares them; called again with the same `out` it
    goes on where it was stopped.

    All configurations have one seed before any has two. A run is begun where the time that is left is enough for it: it
    is expected to take as long as the last one of its configuration, or what a rehearsal of a few steps tells.

    Args:
        task: such as `text-classification`.
        train: training data, as `fit` takes them; so are `test` and `validation`, among the `fields`.
        strategies: names; the task's own alone if empty.
        backbones: names, or NAME=WEIGHTS; the task's own alone if empty.
        seeds: how many, from 0 on.
        max_minutes: budget over all starts of the sweep; None: no limit.
        out: folder of all runs, OUT/STRATEGY-BACKBONE/seed-S, and of sweep.json; runs/TASK-DATE-TIME if None.
        fields: settings of `fit` that all runs have.

    Raises MMTransferError for what a user can mend; a run that fails is told and left out.

    >>> data = {"train": "train.csv", "test": "test.csv"}
    >>> both = ["linear-probe", "full"]
    >>> made = mmt.sweep("text-classification", **data, strategies=both, backbones=["path/to/bert"], out="runs/sweep")
    >>> [entry.name for entry in made.comparison.entries]
    ['linear-probe-bert', 'full-bert']
    """
    given = {"train": train, **fields}
    given = {name: value for name, value in given.items() if value is not None}
    plan = planned(task, given, strategies, backbones, seeds)
    folder = Path(out or default_name(task))
    begun, saved = time.monotonic(), _claim(folder, task, given)
    made = Sweep(folder, None)

    def spent() -> float:
        return saved + time.monotonic() - begun

    held = lock.Lock(folder)
    held.acquire()
    try:
        _run(plan, made, spent, max_minutes, task)
    finally:
        _write(folder, task, given, spent())
        held.release()
    made.comparison = _compared(made)
    return made


def planned(
    task: str, given: Mapping[str, Any], strategy_names: Sequence[str], backbones: Sequence[str], seeds: int
) -> list[Planned]:
    """The runs in their order; raises MMTransferError for what can be seen to be wrong before anything is loaded."""
    if task not in TASKS:
        raise unknown("task", task, TASKS, "mmtransfer sweep TASK")
    if given.get("train") is None:
        raise without_data(task)
    if seeds < 1:
        raise MMTransferError(f"--seeds must be 1 or more, not {seeds}", "--seeds", "change the value")
    for name in given:
        if name in OWN or name not in FIELDS:
            raise MMTransferError(f"sweep does not read --{name.replace('_', '-')}", "the settings", "leave it out")
    for name in strategy_names:
        if name not in strategies.STRATEGIES:
            raise unknown("strategy", name, strategies.STRATEGIES, "--strategies")
    _check_data(given, seeds)
    ways = [{"strategy": name} for name in dict.fromkeys(strategy_names)] or [{}]
    starts = [named(name) for name in dict.fromkeys(backbones)] or [{}]
    runs = []
    for seed, start, way in itertools.product(range(seeds), starts, ways):
        settings = comparable({**given, **start, **way, "task": task, "seed": seed})
        config = resolve(**settings)  # what is wrong with one is said before the first has begun
        weights = f"-{config.weights}" if start.get("weights") else ""
        runs.append(
            Planned(
                _name(f"{config.strategy}-{config.backbone.rstrip('/').rsplit('/', 1)[-1]}{weights}"), seed, settings
            )
        )
    return runs


def _check_data(given: Mapping[str, Any], seeds: int) -> None:
    """Raises MMTransferError where runs of different seeds would be scored on different examples."""
    own = str(given["train"]).startswith("builtin")
    if seeds > 1 and not own and not any(given.get(name) for name in ("test", "validation", "test_group")):
        raise MMTransferError(
            "Each seed would cut validation data of its own, so their scores could not be compared",
            f"--seeds {seeds}",
            "give --test or --validation, or --seeds 1",
        )


def _name(text: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII).strip("-.") or "run"


def _claim(folder: Path, task: str, given: Mapping[str, Any]) -> float:
    """Makes the folder of a sweep, or takes that of an earlier start of the same; the seconds that have been spent."""
    where, path = f"--out {folder}", folder / FILE
    disk.check(folder, where)
    if path.exists():
        try:
            saved = documents.read_json(path, FORM)
        except (OSError, ValueError) as error:
            raise damaged(path, error) from None
        if saved["task"] != task or saved["settings"] != _told(given):
            what = "The sweep in the folder was begun with other settings"
            raise MMTransferError(what, where, "give another --out, or the settings that sweep.json there tells")
        return float(saved["spent"])
    if folder.exists() and any(folder.iterdir()):
        raise MMTransferError("The folder holds something that is no sweep", where, "give another --out")
    with disk.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write(folder, task, given, 0.0)
    return 0.0


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as sweep.json holds them; which runs there are is told by the folders."""
    data = ("train", "validation", "test")
    return {name: told(value) if name in data else str(value) for name, value in sorted(given.items())}


def _write(folder: Path, task: str, given: Mapping[str, Any], seconds: float) -> None:
    with disk.writing(folder / FILE):
        documents.write(folder / FILE, {"program": PROGRAM, "task": task, "settings": _told(given), "spent": seconds})


def _run(plan: Sequence[Planned], made: Sweep, spent: Any, max_minutes: float | None, task: str) -> None:
    """The runs, one after the other."""
    took: dict[str, float] = {}
    for number, run in enumerate(plan, 1):
        place = RunFolder(made.folder / run.folder)
        if place.result.exists() and place.read_result()["status"] == "finished":
            took[run.configuration] = float(place.read_result()["seconds"]["total"])
            made.done.append(place.path)
            continue
        if max_minutes is not None:
            expected = took.get(run.configuration) or _expected(run)
            left = 60 * max_minutes - spent()
            if expected * MARGIN > left:
                made.left_out[run.folder] = f"it would take about {expected:.0f} s, {max(0.0, left):.0f} s are left"
                logger.warning("%s is left out: %s", run.folder, made.left_out[run.folder])
                continue
        logger.info("run %d of %d: %s", number, len(plan), run.folder)
        if _fitted(run, place, made, task):
            took[run.configuration] = float(place.read_result()["seconds"]["total"])


def _expected(run: Planned) -> float:
    """Seconds that a run will take, measured on a few steps; a run that cannot be rehearsed is left to say why."""
    try:
        return float(dry_run(**run.settings).seconds["total"])
    except MMTransferError:
        return 0.0


def _fitted(run: Planned, place: RunFolder, made: Sweep, task: str) -> bool:
    """Whether a run has finished; one that cannot is told and left out, Ctrl-C ends the sweep."""
    begun = place.config.exists()
    how = (
        {"resume": True, "task": task} if begun and place.checkpoints.exists() else {**run.settings, "overwrite": begun}
    )
    try:
        fit(**how, out=place.path)
    except Interrupted as stop:
        raise Interrupted(stop.signum, "the same command", made.folder) from None
    except MMTransferError as error:
        if isinstance(error, MMTransferError) and not made.done and run.seed == 0 and error.where.startswith("--"):
            raise  # a setting that all runs have
        made.left_out[run.folder] = error.what
        logger.warning("%s is left out: %s (%s)", run.folder, error.what, error.where)
        return False
    made.done.append(place.path)
    return True


def _compared(made: Sweep) -> Comparison | None:
    """The comparison of what has finished; None where there are not two configurations."""
    if len({path.parent for path in made.done}) < 2:
        return None
    return compare(made.done)
