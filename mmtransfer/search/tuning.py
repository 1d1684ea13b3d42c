"""The second stage: successive halving over ways to adapt the best backbones, from heads that are found exactly."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mmtransfer.config import RunConfig
from mmtransfer.engine import cache_policy, pace
from mmtransfer.engine import trial as trials
from mmtransfer.engine.pace import Pace
from mmtransfer.errors import MMTransferError
from mmtransfer.preparation import Prepared
from mmtransfer.resolution import planned
from mmtransfer.search import halving, refitting
from mmtransfer.search.budget import MARGIN, WORTH
from mmtransfer.search.halving import Cost, Plan
from mmtransfer.search.journal import PROBE, Facts, Search
from mmtransfer.search.probing import validation_share
from mmtransfer.search.space import SPACE, Way, epochs_of, rate_of
from mmtransfer.search.trial import Trial, read
from mmtransfer.strategies import Loop, Phase, Selection

logger = logging.getLogger("mmtransfer")
TUNED = 2
"""Most backbones that are trained."""
BEHIND = 3
"""Ways of a better backbone that come before the first one of the next."""
SEVERAL = 4
"""Trainings that the time for trying precisions is a share of."""
BACK, MEASURING = 3.0, 0.02
"""Forward and back over forward alone; the share of the time that is left which measuring a step may take."""
NO_TIME = "no time for it"


@dataclass(frozen=True)
class Entry:
    """A candidate."""

    backbone: str
    way: Way
    config: RunConfig
    cost: Cost
    steps: int
    """Of an epoch."""
    whole: bool = True
    """Whether one phase has all epochs, and ends with the weights of the last one: it can go on with more data."""


def tune(search: Search) -> None:
    """Trains as many candidates as the time is enough for, the best of them to the end of their schedules."""
    entries = plan(search)
    if not entries or search.stopped():
        return
    if search.plan is not None:
        _halve(search, entries[: search.plan.candidates], search.plan)
        _try_more(search, entries[search.plan.candidates :], search.plan)
        return
    cost = entries[0].cost
    needed = cost.once + cost.start + cost.epoch
    alone = search.best() is None
    kept = "training ends before its end" if alone else "the probe is what there is"
    logger.warning("auto: the time is not enough for an epoch, which would take about %.0f s: %s", needed, kept)
    if alone:  # a task without exact heads: what a few steps give is better than nothing
        _halve(search, entries[:1], Plan(1, 1, (1.0,), needed), anyhow=True)


def plan(search: Search) -> list[Entry]:
    """Sets the plan of the search, where earlier starts had none; returns the candidates."""
    nearest = min(facts.loading for facts in backbones(search))
    if search.best() is not None and search.plan is None and not search.budget.allows(2 * nearest):
        logger.warning("auto: there is no time to train")
        return []
    entries = _entries(search)
    if not entries:
        return []
    first, fixed = entries[0], "epochs" in search.settings
    if search.plan is None:
        seconds, costs = search.budget.left / MARGIN, [entry.cost for entry in entries]
        facts, epochs = search.facts[first.backbone], first.config.epochs
        again = refitting.times(first.config, facts)
        wider = refitting.wider(first.config, facts) if first.whole else 0.0
        search.plan = halving.plan(costs, first.steps, epochs, seconds, fixed, again, wider)
    if search.plan is not None and (search.plan.again or search.plan.joined):
        wider = refitting.wider(first.config, search.facts[first.backbone]) if search.plan.joined else 0.0
        longer = wider * search.plan.joined or search.plan.again * search.plan.epochs
        search.keep(first.cost.start + longer * first.cost.epoch + wider * first.cost.storing)
    return entries


def backbones(search: Search) -> list[Facts]:
    """Those that are trained: the best, and the next where the probes do not tell them apart; with `--prefer` speed or
    size the fastest or smallest of those that are not shown to be worse."""
    probes = sorted((trial for trial in search.trials if trial.name == PROBE and trial.counts), key=search.order)
    near = list(search.facts.values())
    if probes:
        best = probes[0].score
        near = [search.facts[trial.backbone] for trial in probes if _overlaps(trial, best, search.higher_is_better)]
    prefer = search.options.get("prefer", "accuracy")
    if prefer == "speed":
        return [max(near, key=lambda facts: facts.examples_per_second)]
    if prefer == "size":
        return [min(near, key=lambda facts: facts.parameters)]
    return near[:TUNED]


def _overlaps(trial: Trial, best: Any, higher_is_better: bool) -> bool:
    """Whether the interval of a probe reaches the best probe's score."""
    if trial.score is None or trial.score.value is None:
        return False
    bound = trial.score.high if higher_is_better else trial.score.low
    return trial.score == best or (
        bound is not None and (bound >= best.value if higher_is_better else bound <= best.value)
    )


def _entries(search: Search) -> list[Entry]:
    """The candidates, the likeliest to win first."""
    ranked: list[tuple[int, Entry]] = []
    for place, facts in enumerate(backbones(search)):
        paces: dict[Selection, Pace] = {}
        chosen: Mapping[str, Any] = {}
        prepared: Prepared | None = None
        for number, way in enumerate(_ways(search)):
            if search.stopped():
                return []
            try:
                config = _settings(search, facts, way)
                if prepared is None:
                    prepared = search.bench.prepared(config)
                    chosen = _fastest(search, prepared)
                config = replace(config, **chosen)
                backbone = prepared.model.backbone
                phase = planned(config, len(backbone.stages))[-1]
                if not backbone.selected(phase.trains.stages, phase.trains.part):
                    continue  # such as biases, of a network that has none
                if phase.trains not in paces:
                    paces[phase.trains] = _pace(search, facts, prepared, phase)
                stored = _stored(config, prepared, phase)
                if stored and "cache" not in search.settings:
                    config = replace(config, cache="on")  # auto might decide otherwise when the run is repeated
                cost = _cost(search, facts, prepared, stored, paces[phase.trains])
            except MMTransferError as error:
                logger.debug("auto: %s, %s is left out: %s", facts.name, way.name, error.what)
                continue
            steps = math.ceil(len(prepared.splits.train) / config.batch_size)
            whole = phase.epochs == config.epochs and not phase.mix
            ranked.append((number + BEHIND * place, Entry(facts.name, way, config, cost, steps, whole)))
    return [entry for _, entry in sorted(ranked, key=lambda item: item[0])]


def _ways(search: Search) -> list[Way]:
    """The ways of the space that leave what the user has chosen as it is."""
    given, strategy = search.settings, search.settings.get("strategy")
    ways = [
        way
        for way in SPACE[search.task]
        if (strategy is None or way.strategy == strategy)
        and ("lr" not in given or way.rate == 1)
        and not given.keys() & way.settings.keys()
    ]
    return ways or [Way(strategy)] if strategy not in (None, PROBE) else ways


def _settings(search: Search, facts: Facts, way: Way) -> RunConfig:
    """Settings of a candidate."""
    given = search.settings
    usual: Mapping[str, Any] = {
        "lr": rate_of(search.task, facts.parameters) * way.rate,
        "epochs": epochs_of(search.task, facts.examples["train"], int(given.get("batch_size", 32))),
        "validation_fraction": validation_share(search, facts.examples["train"] + facts.examples["validation"]),
    }
    options = {**way.options, **(given.get("strategy_options") or {})}
    return search.resolved(facts.name, {**usual, **way.settings}, strategy=way.strategy, strategy_options=options)


def _fastest(search: Search, prepared: Prepared) -> Mapping[str, Any]:
    """Precision and layout of all trainings of a backbone, which compute in them from here on; a search trains for as
    long as several runs."""
    loops = [phase for phase in prepared.plan if isinstance(phase.solver, Loop)]
    long = [replace(phase, solver=Loop(SEVERAL * phase.epochs)) for phase in loops]
    return trials.choose(prepared.config, search.bench.machine, prepared.model, prepared.splits.train, long).chosen()


def _pace(search: Search, facts: Facts, prepared: Prepared, phase: Phase) -> Pace:
    """Measured on two steps, where that takes no more than its share of the time, else reckoned from the speed of
    prediction: forward and back take about three times as long as forward."""
    each = BACK / max(1e-9, facts.examples_per_second)
    examples, config = prepared.splits.train, prepared.config
    if 3 * config.batch_size * each < MEASURING * search.budget.left:
        return pace.measure(config, search.bench.machine, prepared.model, examples, phase)
    unit = len(examples) / float(examples.lengths.sum())
    return Pace(each / BACK * unit, each * unit, 0)


def _stored(config: RunConfig, prepared: Prepared, phase: Phase) -> bool:
    """Whether the states of the stages before those that train are computed once."""
    frozen = min(phase.trains.stages, default=0) > 0 and config.cache != "off"
    return frozen and cache_policy.obstacle(phase, prepared.model.task) is None


def _cost(search: Search, facts: Facts, prepared: Prepared, stored: bool, measured: Pace) -> Cost:
    """Expected seconds of a candidate."""
    units = float(prepared.splits.train.lengths.sum())
    scoring = facts.examples["validation"] / max(1e-9, facts.examples_per_second)
    writing = 0.2 + 3 * 4 * facts.parameters / 3e8  # weights and moments
    probes = [trial.seconds for trial in search.trials if trial.backbone == facts.name and trial.name == PROBE]
    head = probes[0] if probes and not facts.started else 0.0
    facts.started = True  # the head that trainings start from is found once
    storing = units * measured.frozen if stored else 0.0
    return Cost(
        start=facts.loading + scoring + facts.measuring + writing,
        epoch=measured.epoch(units, stored) + scoring,  # the best weights stay in memory
        once=head + storing,
        storing=storing,
    )


def _halve(search: Search, entries: Sequence[Entry], plan: Plan, anyhow: bool = False) -> None:
    """The rungs, and where time is left over then, the best of those that were dropped.

    `anyhow`: a step is done even where there is no time for more.
    """
    all_of_them = alive = [(_trial(search, entry, plan), entry) for entry in entries]
    for rung, share in enumerate(plan.shares):
        last = rung == len(plan.shares) - 1
        for number, (trial, entry) in enumerate(alive, 1):
            where = f"rung {rung + 1} of {len(plan.shares)}, {number} of {len(alive)}"
            until = trial.last if last else max(1, round(share * trial.planned))
            if anyhow or _has_time(search, trial, entry, until, WORTH if last else 1.0):
                _advance(search, trial, until, where)
            if search.stopped():
                return
        paused = [pair for pair in alive if pair[0].state == "paused"]
        scored = sorted(paused, key=lambda pair: search.standing(pair[0]))
        kept = plan.kept(rung + 1)
        if not last:
            for trial, _ in scored[kept:]:
                trial.state, trial.why = "dropped", f"not among the best {kept} after rung {rung + 1}"
            search.write("searching")
        alive = scored[:kept]
    _use_up(search, [pair for pair in all_of_them if pair[0].state == "dropped" and pair[0].score])


def _use_up(search: Search, dropped: Sequence[tuple[Trial, Entry]]) -> None:
    """Goes on with trials that were dropped, the best first, while the time is enough to end their schedules, but for
    epochs on all data."""
    for trial, entry in sorted(dropped, key=lambda pair: search.standing(pair[0])):
        before = trial.state, trial.why
        trial.state = "paused"
        until = trial.last
        if not search.stopped() and _has_time(search, trial, entry, until):
            trial.why = ""
            _advance(search, trial, until, "with the time that is left")
        else:
            trial.state, trial.why = before


def _try_more(search: Search, entries: Sequence[Entry], plan: Plan) -> None:
    """Trains candidates that the plan had no time for, each to its end: costs are reckoned with care, and time may be
    left over."""
    for number, entry in enumerate(entries, 1):
        if search.stopped():
            return
        trial = _trial(search, entry, plan)
        if _has_time(search, trial, entry, trial.last):
            _advance(search, trial, trial.last, f"with the time that is left, {number} of {len(entries)}")
        elif not trial.steps:
            search.trials.remove(trial)
            return


def _trial(search: Search, entry: Entry, plan: Plan) -> Trial:
    """A new trial, or the one of an earlier start."""
    joined = plan.joined if entry.whole else 0
    config = replace(entry.config, epochs=plan.epochs, join_validation=joined or None)
    known = search.earlier.get((entry.backbone, entry.way.name))
    number = search.next() if known is None else int(known["number"])
    trial = Trial(number, entry.backbone, entry.way.name, config, search.place(number))
    trial.planned = plan.epochs * entry.steps
    if known is not None and known["planned_steps"] == trial.planned:
        trial = read(known, config, search.place(number))
        if trial.state == "dropped" and trial.why.startswith(NO_TIME):
            trial.state, trial.why = "paused", ""
    search.trials.append(trial)
    return trial


def _has_time(search: Search, trial: Trial, entry: Entry, until: int, share: float = 1.0) -> bool:
    """Whether a trial has to go on to a step and there is time for that `share` of the way."""
    if trial.steps >= until or trial.state in ("failed", "dropped", "out of time"):
        return False
    start, step = entry.cost.start, entry.cost.epoch / entry.steps
    if trial.trained:  # what was measured while it trained is nearer than what was measured before
        start, step = max(start, trial.around), trial.trained / trial.steps
    needed = start + step * (until - trial.steps) * share
    if search.budget.allows(needed):
        return True
    trial.state, trial.why = ("dropped" if trial.steps else "waiting"), f"{NO_TIME}: about {needed:.0f} s"
    return False


def _advance(search: Search, trial: Trial, until: int, where: str) -> None:
    """Goes on with a trial up to a step."""
    search.say(f"{where}: {trial.title}, to step {until} of {trial.planned}")
    try:
        search.bench.advance(trial, until, search.budget.deadline)
        search.learn(trial)
    except (MMTransferError, torch.OutOfMemoryError) as error:
        trial.state, trial.why = "failed", str(error).splitlines()[0]
        logger.warning("auto: %s is given up: %s", trial.title, trial.why)
    if trial.state == "out of time":
        trial.why = f"the time was spent at step {trial.steps}"
    search.write("searching")
