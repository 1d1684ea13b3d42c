"""The end of a search: what is chosen becomes the run, trained on all data where that is the rule, and scored once."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmtransfer import files, fitting
from mmtransfer.config import RunConfig
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.stopping import Stop
from mmtransfer.lock import Lock
from mmtransfer.metrics.stored import metric_of
from mmtransfer.reporting import Report
from mmtransfer.search import tuning
from mmtransfer.search.journal import NOTE, PROBE, Search
from mmtransfer.search.trial import Trial, quietly
from mmtransfer.tasks.base import Records

logger = logging.getLogger("mmtransfer")
WIDTH = 1.96
"""Standard errors from a score to either end of its interval."""


def choose(search: Search, goes_on: bool) -> Trial:
    """The best trial. Where the user has not asked for a strategy, a trained one only if on the very examples that it
    was scored on it is better than the best probe by more than the standard error of the difference: it is the best of
    several, and of equal models the simpler one is taken (Breiman et al. 1984, 3.4.3). One whose last epochs
    are still to come, on all data (`goes_on`: if any can come), was scored while its rate was high: of it, it is enough
    to be better."""
    names = {facts.name for facts in tuning.backbones(search)}
    trials = [trial for trial in search.trials if trial.counts and trial.backbone in names]
    best = min((trial for trial in trials if trial.name != PROBE), key=search.order, default=None)
    probe = min((trial for trial in trials if trial.name == PROBE), key=search.order, default=None)
    if best is None or probe is None or search.settings.get("strategy") not in (None, PROBE):
        chosen = best or probe
        assert chosen is not None  # a search without a score does not come here
        return chosen
    theirs = among(probe.records, best.records)
    metric = None if theirs is None else metric_of(search.metric, theirs)
    if theirs is None or metric is None or best.records is None:
        return min((best, probe), key=search.order)
    found = metric.difference(search.metric, [best.records], [theirs])
    gain = found.value if search.higher_is_better else -found.value
    error = 0.0 if found.low is None or found.high is None else (found.high - found.low) / (2 * WIDTH)
    unfinished = goes_on and bool(best.config.join_validation) and best.steps < best.planned
    return best if gain > (0.0 if unfinished else error) else probe


def among(records: Records | None, others: Records | None) -> Records | None:
    """The records of the examples that others are of, in their order; None where some are missing."""
    if records is None or others is None:
        return None
    places = {name: place for place, name in enumerate(records["id"])}
    if not all(name in places for name in others["id"]):
        return None
    picked = [places[name] for name in others["id"]]
    return {name: [values[place] for place in picked] for name, values in records.items()}


def settings_of(trial: Trial) -> RunConfig:
    """The settings that repeat a trial as it stands, without the search."""
    short = trial.planned and trial.state != "finished"
    return replace(trial.config, stop_after=trial.steps if short else None)


def finish(search: Search, chosen: Trial, lock: Lock, warnings: Sequence[str], records: Records | None) -> None:
    """Makes the chosen trial the run of the search's folder: model, scores, predictions; the test data are read here.

    `records`: of validation, where the chosen one has been trained on those examples.
    """
    folder = search.folder
    search.say(f"chosen: {chosen.title}; saving and scoring it")
    for path in (folder.result, folder.model, folder.checkpoints):  # of what an earlier start has chosen
        files.remove(path)
    _take_over(chosen.folder, folder.path)
    config = replace(settings_of(chosen), out=str(folder.path), resume=True)
    clock = Clock()
    with quietly():
        report = Report(config, folder, clock, list(warnings))
        prepared, heads = search.bench.prepared(config, clock), search.bench.heads_of(config)
        stop = Stop(last=float("inf") if config.stop_after is None else config.stop_after)
        report.known["auto"] = {"trials": len(search.trials), "way": chosen.name, "note": NOTE}
        with fitting.trained(prepared, search.bench.machine, folder, lock, report, stop, heads) as (training, outcome):
            if records is not None:  # told beside the examples that they are of, which training has left behind
                splits = replace(outcome.splits, validation=prepared.splits.validation)
                outcome = replace(outcome, records=prepared.model.task.target.tune(records), splits=splits)
            fitting.score(training, outcome, folder, report)
            fitting.finish(training, folder, report)


def about(chosen: Trial) -> Mapping[str, Any]:
    """What auto.json says of the choice."""
    score = chosen.score
    return {
        "trial": chosen.number,
        "backbone": chosen.backbone,
        "way": chosen.name,
        "validation": score.as_dict() if score else None,
    }


def _take_over(trial: Path, folder: Path) -> None:
    """A trial's checkpoints and log, which it keeps, as the run's own."""
    with suppress(FileNotFoundError):
        shutil.copytree(trial / "checkpoints", folder / "checkpoints", copy_function=_link)
    with suppress(FileNotFoundError):
        shutil.copyfile(trial / "log.jsonl", folder / "log.jsonl")


def _link(source: str, target: str) -> None:
    """A file under a second name, where the disk has such, else a copy: checkpoints do not change once written."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
