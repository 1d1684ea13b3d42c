"""The first stage: an exact probe on the cached features of each backbone, which costs little and is never lost."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from mmtransfer.config import RunConfig
from mmtransfer.engine import memory, pace
from mmtransfer.errors import MMTransferError
from mmtransfer.preparation import Prepared
from mmtransfer.rank import speed
from mmtransfer.search.journal import PROBE, Facts, Search
from mmtransfer.search.trial import Trial
from mmtransfer.strategies import Exact

logger = logging.getLogger("mmtransfer")
FEW = 2000
"""Training examples up to which a winner is trained again on all of them."""
A_CLASS = 64
"""Training examples of a class up to which its name, and the direction of a vector alone, may help a probe: each costs
as much again as the probe, which is better spent on training where there are more."""
FIRST, SHARE = 0.8, 0.5
"""Of the time that is left, what the probe of the first backbone may take, and that of one more."""
LOADED = 1e8
"""Bytes of weights that are loaded in a second, at least."""
LEAST = 50
"""Examples of the smallest part of the training data that a probe is tried on."""


def look(search: Search, backbone: str, size: int = 0) -> tuple[RunConfig, Prepared] | None:
    """Adds what is known of a backbone without training anything; returns what its probe starts from.

    `size`: bytes of its weights, 0 where that is not known. One that is too large, or would take too long where there
    is a model already, is noted among the missing. Raises MMTransferError for a backbone that cannot be had, and for
    what is wrong with the data.
    """
    if _too_large(search, backbone, size // 4):
        return None
    if 2 * size > memory.free_bytes():
        search.missing[backbone] = "it needs more memory than there is"
        return None
    if search.best() is not None and not search.budget.allows(size / LOADED):
        search.missing[backbone] = "there is no time to load it"
        return None
    began = time.monotonic()
    config = search.probed(backbone)
    prepared = search.bench.prepared(config)
    facts = _facts(search, backbone, prepared, time.monotonic() - began)
    if _too_large(search, backbone, facts.parameters):
        return None
    target = prepared.model.task.target
    search.target, search.metric, search.higher_is_better = target, target.primary, target.higher_is_better
    if _affordable(search, facts, prepared) < 1 and search.best() is not None:
        search.missing[backbone] = "its features alone would take longer than the time that is left"
        return None
    search.facts[backbone] = facts
    search.keep(search.again)
    return config, prepared


def probe(search: Search, backbone: str, config: RunConfig, prepared: Prepared) -> None:
    """The probe of a backbone, where the task has an exact one; where there is no other model yet, of the part of the
    training data that fits into the time."""
    if prepared.config.strategy_options["solver"] != "exact":
        return
    part = _part(config, prepared, _affordable(search, search.facts[backbone], prepared))
    if part is not None:
        logger.info("auto: a probe on %d examples of each class at first", part)
        config = replace(config, shots=part)
        _try(search, backbone, config, search.bench.prepared(config))
        return
    named, begun = _with_names(search, config, prepared)
    plain = _try(search, backbone, named, begun)
    if _few_a_class(begun):
        _by_direction(search, plain, begun)


def widen(search: Search) -> None:
    """The best probe again on all data, where it was one of a part of them and the time is enough."""
    best = search.best()
    if best is None or best.config.shots == search.settings.get("shots"):
        return
    config, facts = search.probed(best.backbone), search.facts[best.backbone]
    prepared = search.bench.prepared(config)
    if not search.budget.allows(_seconds(search, facts, prepared)):
        logger.warning("auto: there is no time for a probe on more than %d examples of each class", best.config.shots)
        return
    _try(search, best.backbone, config, prepared)
    best.state, best.why = "replaced", "by the probe on all data"


def _too_large(search: Search, backbone: str, parameters: int) -> bool:
    """Whether a backbone has more parameters than are allowed, which is noted."""
    limit = search.options.get("max_parameters")
    if limit is None or parameters <= limit:
        return False
    search.missing[backbone] = f"it has {parameters / 1e6:.1f} M parameters, more than --max-parameters allows"
    return True


def _facts(search: Search, backbone: str, prepared: Prepared, loading: float) -> Facts:
    model, config, splits = prepared.model.eval(), prepared.config, prepared.splits
    model.backbone.freeze(range(len(model.backbone.stages)))
    count = {name: len(split) for name, split in splits.by_name().items()}
    if config.validation is None:
        whole = count["train"] + count.get("validation", 0)
        count["validation"] = round(whole * validation_share(search, whole))
        count["train"] = whole - count["validation"]
    return Facts(
        name=backbone,
        parameters=sum(value.numel() for value in model.backbone.parameters()),
        examples=count,
        examples_per_second=speed(model, splits.train, search.bench.machine),
        loading=loading,
    )


def validation_share(search: Search, examples: int) -> float:
    """The share that chooses among trainings: the user's, else a tenth, and more of few examples, all of which the
    winner is trained on in the end."""
    given = search.settings.get("validation_fraction")
    if given is not None:
        return float(given)
    return min(0.2, max(0.1, 200 / max(1, examples))) if examples <= FEW else 0.1


def _affordable(search: Search, facts: Facts, prepared: Prepared) -> float:
    """The share of the training data whose features, and the head on them, fit into the time."""
    share = FIRST if search.best() is None else SHARE
    left = share * search.budget.left_keeping(facts.ending())
    return min(1.0, max(0.0, left / max(1e-9, _seconds(search, facts, prepared))))


def _seconds(search: Search, facts: Facts, prepared: Prepared) -> float:
    """What a probe on all data takes, about."""
    features = (facts.examples["train"] + facts.examples["validation"]) / max(1e-9, facts.examples_per_second)
    return features + _solving(search, prepared)


def _part(config: RunConfig, prepared: Prepared, share: float) -> int | None:
    """Examples of each class that are a share of the training data, or of all where there are no classes; None where
    the share is all of it, or the user has taken a part."""
    if share == 1 or any(value is not None for value in (config.shots, config.fraction, config.shots_minutes)):
        return None
    target = prepared.model.task.target
    classes = target.outputs if target.problem == "classes" else 1
    return max(LEAST // classes, 2, int(share * len(prepared.splits.train) / classes))


def _few_a_class(prepared: Prepared) -> bool:
    target = prepared.model.task.target
    return len(prepared.splits.train) <= A_CLASS * (target.outputs if target.problem == "classes" else 1)


def _with_names(search: Search, config: RunConfig, prepared: Prepared) -> tuple[RunConfig, Prepared]:
    """The probe that is pulled to the class names, where examples are few and names can be encoded."""
    if prepared.model.task.class_names() is None or not _few_a_class(prepared):
        return config, prepared
    pulled = replace(config, strategy_options={**config.strategy_options, "prior": "names"})
    try:
        named = search.bench.prepared(pulled)
    except MMTransferError:  # the names say nothing
        return config, prepared
    affordable = _solving(search, named) <= SHARE * search.budget.left
    return (pulled, named) if affordable else (config, prepared)


def _by_direction(search: Search, plain: Trial, prepared: Prepared) -> None:
    """The same probe on vectors of one length, where examples are few and texts are pooled by their mean; the one with
    the lower loss stays: of few examples accuracy is too coarse to tell the two apart."""
    backbone, reads = prepared.model.backbone, prepared.model.task.target.reads
    by_mean = (backbone.modality, backbone.pooling, reads) == ("text", "mean", "pooled")
    cost = _seconds(search, search.facts[plain.backbone], prepared)
    if plain.config.pooling is not None or not by_mean or cost > SHARE * search.budget.left:
        return
    config = replace(plain.config, pooling="unit")
    directed = _try(search, plain.backbone, config, search.bench.prepared(config))
    worse = plain if directed.loss < plain.loss else directed
    worse.state, worse.why = "replaced", "by the probe on the same vectors, of another length"


def _solving(search: Search, prepared: Prepared) -> float:
    """Seconds to find the head of a probe, about."""
    solvers = [phase.solver for phase in prepared.plan if isinstance(phase.solver, Exact)]
    model, train = prepared.model, prepared.splits.train
    return sum(pace.solving(model, train, solver, search.bench.machine) for solver in solvers)


def _try(search: Search, backbone: str, config: RunConfig, prepared: Prepared) -> Trial:
    number = search.next()
    trial = Trial(number, backbone, PROBE, config, search.place(number))
    search.trials.append(trial)
    search.say(trial.title)
    search.bench.advance(trial, 0, search.budget.deadline, prepared)
    search.learn(trial)
    search.write("searching")
    return trial
