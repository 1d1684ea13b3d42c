"""Whether a phase reads stored states: whether it can, and whether that pays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from safetensors import SafetensorError

from mmtransfer.data.plan import Plan
from mmtransfer.engine import entries, estimate
from mmtransfer.engine.states import States
from mmtransfer.engine.training import Training
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import Exact, Loop, Phase
from mmtransfer.tasks import Task

logger = logging.getLogger("mmtransfer")


def obstacle(phase: Phase, task: Task) -> str | None:
    """Why a phase cannot read stored states; None if it can."""
    if phase.trains.stages and min(phase.trains.stages) == 0:
        return "the first stage trains, so nothing before it is frozen"
    if isinstance(phase.solver, Loop) and task.input.augments:
        return "random augmentation shows other inputs every epoch (--augment none would not)"
    return None


def refuse(mode: str, plan: Sequence[Phase], task: Task) -> None:
    """Raises MMTransferError where the cache is asked for and no phase can have it."""
    reasons = [obstacle(phase, task) for phase in plan]
    if mode == "on" and all(reasons):
        lines = "; ".join(f"phase {phase.name}: {reason}" for phase, reason in zip(plan, reasons, strict=True))
        raise MMTransferError(f"Nothing can be cached: {lines}", "--cache on", "leave it at auto, or change that")


def can_be_stored(splits: Mapping[str, States]) -> bool:
    """Whether there is a cache to store these states in, and all examples, and the backbone's code, can be named."""
    return all(
        states.cache.mode != "off" and states.examples.table is not None and states.model.backbone.storable
        for states in splits.values()
    )


def choose_keys(training: Training, phase: Phase, splits: Mapping[str, States]) -> dict[str, str]:
    """The keys of the states that a phase reads from the cache; none where it computes them each time.

    The choice is kept in `training.state`: a resumed phase does not measure again.
    """
    state, keys = training.state, dict[str, str]()
    if splits and training.cache.mode != "off":
        one = next(iter(splits.values()))
        reason = obstacle(phase, one.model.task)
        if reason is not None and one.cut > 0 and 0 not in phase.trains.stages:
            logger.warning("phase %s is not cached: %s", phase.name, reason)
        if reason is None and can_be_stored(splits):
            keys = entries.name_entries(splits)
    if keys and isinstance(phase.solver, Loop) and not _pays(training, phase, splits, keys):
        keys = {}
    state.cached = [*state.cached[: state.phase], bool(keys) or isinstance(phase.solver, Exact)]
    return keys


def _pays(training: Training, phase: Phase, splits: Mapping[str, States], keys: Mapping[str, str]) -> bool:
    """Whether stored states are expected to cost less time; a resumed phase keeps to what it did before."""
    config, state, cache = training.config, training.state, training.cache
    if len(state.cached) > state.phase:
        return state.cached[state.phase]
    if cache.mode == "on":
        return True
    missing = {name for name, key in keys.items() if not cache.store.has(key)}
    plan = Plan(splits["train"].examples.lengths, config.batch_size, state.budget, config.seed)
    try:
        costs = estimate.measure(splits["train"], plan, cache.store.root)
    except (OSError, SafetensorError) as error:
        logger.warning("not cached: %s cannot be written (%s)", cache.store.root, error)
        return False
    units = {name: float(states.examples.lengths.sum()) for name, states in splits.items()}
    cached, whole = costs.totals(units, missing, phase.epochs - state.epoch)
    cache.figures.expected = {"cached": cached, "uncached": whole}
    pays = cached < whole
    logger.info(
        "cache: %.1f s expected for the frozen stages if computed once%s, %.1f s if every time: %s",
        cached,
        "" if missing else " (they are there already)",
        whole,
        "cached" if pays else "not cached",
    )
    return pays
