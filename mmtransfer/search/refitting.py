"""The chosen training again, on all data, where there are few."""

from __future__ import annotations

import math
from dataclasses import replace

from mmtransfer.config import RunConfig
from mmtransfer.search.journal import PROBE, Facts, Search
from mmtransfer.search.probing import FEW
from mmtransfer.search.trial import Trial


def times(config: RunConfig, facts: Facts) -> float:
    """How many times as long as a candidate's training its repetition on all data takes; 0 where there is none.

    The rule: at most FEW examples, of which validation was cut and no part taken.
    """
    part = any(value is not None for value in (config.shots, config.fraction, config.shots_minutes))
    count, own = facts.examples["train"] + facts.examples["validation"], facts.examples["train"]
    if config.validation is not None or part or count > FEW or not own:
        return 0.0
    return count / own


def refit(search: Search, chosen: Trial) -> Trial | None:
    """The chosen training again on all data, where the rule of `times` says so and the time is enough.

    It takes so many epochs of the schedule as the chosen trial was scored best after. Its score is that of the chosen
    one, which has not seen the validation data.
    """
    config, facts = chosen.config, search.facts[chosen.backbone]
    longer = 0.0 if chosen.name == PROBE or not chosen.best else times(config, facts)
    search.keep(0.0)
    if not longer or search.stopped():
        return None
    needed = longer * chosen.best * chosen.trained / chosen.steps + chosen.around
    if not search.budget.allows(needed):
        return None
    count = facts.examples["train"] + facts.examples["validation"]
    search.say(f"{chosen.title}: again on all {count} examples")
    config, number = replace(config, validation_fraction=0.0), search.next()
    prepared = search.bench.prepared(config)
    trial = Trial(number, chosen.backbone, f"{chosen.name}, on all data", config, search.place(number))
    trial.planned = math.ceil(len(prepared.splits.train) / config.batch_size) * config.epochs
    until = max(1, round(chosen.best / chosen.planned * trial.planned))
    search.bench.advance(trial, until, search.budget.deadline, prepared)
    search.trials.append(trial)
    if trial.steps < until:
        trial.state, trial.why = "dropped", "there was no time to end it"
        return None
    trial.score, trial.records = chosen.score, chosen.records
    return trial
