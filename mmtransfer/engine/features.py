"""States of examples at a cut, from the cache or computed: of any examples, or as a phase of a run needs them."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from functools import partial

from safetensors import SafetensorError

from mmtransfer.cache.features import Damaged, Features
from mmtransfer.cache.settings import Cache
from mmtransfer.engine import cache_policy, entries
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.processes import in_step, shared
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.states import States
from mmtransfer.engine.training import Training
from mmtransfer.strategies import Exact, Phase

logger = logging.getLogger("mmtransfer")


def features(model: Model, examples: Examples, machine: Machine, cut: int, cache: Cache) -> Features | None:
    """The states of examples at a cut, `model.end` for what its head reads: from the cache, else computed and, where
    the cache is not off, stored.

    What is in memory only, the main process alone has: None on the others.
    """
    return features_of_splits(model, {"inputs": examples}, machine, cut, cache).get("inputs")


def features_of_splits(
    model: Model, splits: Mapping[str, Examples], machine: Machine, cut: int, cache: Cache
) -> dict[str, Features]:
    """`features` of several splits, by name."""
    asked = {name: States(model, examples, machine, cut, cache, name) for name, examples in splits.items()}
    keys: dict[str, str] = {}
    if machine.is_main and cache_policy.can_be_stored(asked):
        keys = entries.name_entries(asked)
    return _obtain(asked, shared(machine.accelerator, keys), else_in_memory=True)


def cached_features(model: Model, examples: Examples, machine: Machine, cache: Cache) -> Features | None:
    """What a head reads of the examples, if the cache holds it; nothing is built.

    On one process: several would each have to find the same.
    """
    states = States(model, examples, machine, model.end, cache)
    if machine.processes > 1 or not examples or not cache_policy.can_be_stored({"inputs": states}):
        return None
    return entries.open_entry(states, entries.name_entries({"inputs": states})["inputs"])


def prepare_states(training: Training, model: Model, splits: Splits, phase: Phase, last: bool) -> Splits:
    """The splits from the states at `model.start` on where a phase reads stored ones, else from their inputs on.

    `last`: whether the test split is scored with this phase's frozen stages. An exact phase always reads states, at
    least from the main process's memory. Raises Stopped after a signal; what was built until then is kept.
    """
    machine, cache = training.machine, training.cache
    splits = splits.without_states()
    with training.clock.part("cache"):
        asked = {
            name: States(model, examples, machine, model.start, cache, name, training.stop, training.outlook)
            for name, examples in splits.by_name().items()
            if last or name != "test"
        }
        keys = cache_policy.choose_keys(training, phase, asked) if machine.is_main else {}
        keys = shared(machine.accelerator, keys)
        obtained = _obtain(asked, keys, else_in_memory=isinstance(phase.solver, Exact))
        if machine.is_main and keys and "train" not in obtained:  # a resumed run goes on as this one does
            training.state.cached[training.state.phase] = False
        return splits.with_states(obtained, model.task)


def _obtain(splits: Mapping[str, States], keys: Mapping[str, str], else_in_memory: bool) -> dict[str, Features]:
    """By name, the states of the splits that have a key, from the cache; with `else_in_memory` also of those that have
    none, or cannot be stored."""
    obtained: dict[str, Features] = {}
    for name, states in splits.items():
        key = keys.get(name)
        if not key and not else_in_memory:
            continue
        result = in_step(states.machine.accelerator, partial(_read_or_compute, states, key, else_in_memory))
        if key and not states.machine.is_main:
            try:
                result = entries.load_entry(states, key)
            except Damaged:  # never written: over a limit, or the folder is not this machine's
                result = None
        if result is not None:
            obtained[name] = result
            if key:
                states.cache.figures.cut = "features" if states.cut == states.model.end else f"stage {states.cut}"
    return obtained


def _read_or_compute(states: States, key: str | None, else_in_memory: bool) -> Generator[None, None, Features | None]:
    """Opens or builds an entry, a yield after each shard; with `else_in_memory` computes what cannot be stored."""
    figures, read = states.cache.figures, None
    if key:
        read = entries.open_entry(states, key)
        figures.hits += read is not None
        if read is None:
            begun = time.monotonic()
            try:
                yield from entries.build_entry(states, key)
                read = entries.load_entry(states, key)
            except (OSError, SafetensorError, Damaged) as error:
                logger.warning("%s: features are not cached: %s (in %s)", states.label, error, states.cache.store.root)
            figures.build_seconds += time.monotonic() - begun
        figures.bytes += read.bytes if read is not None else 0
    return states.collect() if read is None and else_in_memory else read
