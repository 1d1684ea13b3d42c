"""The end of the chosen training on all data: again from its start where there are few, else its last epochs."""

from __future__ import annotations

import math
from dataclasses import replace

from mmtransfer.config import SPEECH, RunConfig
from mmtransfer.search.budget import WORTH
from mmtransfer.search.journal import PROBE, Facts, Search
from mmtransfer.search.probing import FEW
from mmtransfer.search.trial import Trial


def times(config: RunConfig, facts: Facts) -> float:
    """How many times as long as a candidate's training its repetition on all data takes; 0 where there is none.

    The rule: at most FEW examples, of which validation was cut and no part taken; no transcripts, whose language model
    the validation data choose at the end.
    """
    return _wider(config, facts) if _count(facts) <= FEW and config.task != SPEECH else 0.0


def wider(config: RunConfig, facts: Facts) -> float:
    """How many times as long as an epoch of a candidate one on all data takes; 0 where there are none such.

    The rule: more than FEW examples, of which validation was cut and no part taken; no moving average, which validation
    data would have to choose, and no transcripts, whose language model they choose at the end. A training from the
    start would take most of the time that a search of so many examples has, so the validation data join those that
    train in the last epochs, and choose until then.
    """
    kept = config.ema is not None or config.task == SPEECH
    return _wider(config, facts) if _count(facts) > FEW and not kept else 0.0


def _count(facts: Facts) -> int:
    return facts.examples["train"] + facts.examples["validation"]


def _wider(config: RunConfig, facts: Facts) -> float:
    """All examples over those that train; 0 where the user has said which are for what."""
    part = any(value is not None for value in (config.shots, config.fraction, config.shots_minutes))
    if config.validation is not None or part or not facts.examples["train"] or not facts.examples["validation"]:
        return 0.0
    return _count(facts) / facts.examples["train"]


def end(search: Search, chosen: Trial) -> Trial | None:
    """The chosen training on all data, where one of the two rules says so and the time is enough; else None."""
    return join(search, chosen) if chosen.config.join_validation else refit(search, chosen)


def join(search: Search, chosen: Trial) -> Trial | None:
    """The chosen training to the end of its schedule, the last epochs of it on all data.

    Its score is that of its weights before these epochs, which had not seen the validation data. Where the time is not
    enough for the rest of the schedule it ends early; from a quarter of the rest on that is tried.
    """
    search.keep(0.0)
    if search.stopped() or not chosen.steps or chosen.state not in ("paused", "dropped", "out of time"):
        return None
    facts, config = search.facts[chosen.backbone], chosen.config
    each = chosen.planned / config.epochs
    steps = chosen.planned - chosen.steps + (_wider(config, facts) - 1) * each * (config.join_validation or 0)
    features = _count(facts) / max(1e-9, facts.examples_per_second) if config.cache == "on" else 0.0
    if not search.budget.allows(WORTH * steps * chosen.trained / chosen.steps + chosen.around + features):
        return None
    search.say(f"{chosen.title}: to its end on all {_count(facts)} examples")
    state, chosen.state = chosen.state, "paused"
    search.bench.advance(chosen, chosen.planned, search.budget.deadline)
    if chosen.state == "paused":  # a signal came
        chosen.state = state
        return None
    ended = f"the last {config.join_validation} epochs on all data"
    chosen.why = ended if chosen.state == "finished" else f"the time was spent at step {chosen.steps}"
    return chosen


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
    search.say(f"{chosen.title}: again on all {_count(facts)} examples")
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
