"""Pictures and recordings decoded once, where a phase would read their files in every epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from mmtransfer import launcher
from mmtransfer.backbones.staged import State
from mmtransfer.cache import features as shards
from mmtransfer.cache import key as keys
from mmtransfer.cache.decoded import Decoded, packed, unpacked
from mmtransfer.cache.features import Damaged
from mmtransfer.data.plan import Indices
from mmtransfer.engine import entries
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.processes import in_step
from mmtransfer.engine.progress import bar
from mmtransfer.engine.splits import Splits
from mmtransfer.engine.states import on_each_core
from mmtransfer.engine.stopping import Stopped
from mmtransfer.engine.training import Training
from mmtransfer.strategies import Loop, Phase
from mmtransfer.tasks import Task

logger = logging.getLogger("mmtransfer")
SAVED = 10.0
"""Seconds that decoding once has to save: below, it is left."""
TIMED = 8
"""Examples that are decoded to know what that costs."""
CHECKED = 3
"""Examples decoded again when an entry is opened."""


@dataclass(frozen=True)
class Decoding:
    """The examples of a split, to be decoded."""

    training: Training
    task: Task
    examples: Examples
    split: str

    @property
    def augmented(self) -> bool:
        """Whether augmentation is drawn from them."""
        return self.split == "train" and self.task.input.augments

    @cached_property
    def key(self) -> str:
        """The name of their entry."""
        how, table = self.task.input.decoding(self.augmented), self.examples.table
        assert how is not None and table is not None
        return keys.decoded_key(how, keys.contents(table, self.training.cache.store.root))

    def decode(self, row: Mapping[str, Any]) -> State:
        return packed(self.task.input.decode(row, self.augmented))

    def run(self, batches: list[Indices]) -> Iterator[tuple[Indices, State]]:
        """Each example decoded, several at a time; Stopped after a signal."""
        states = on_each_core(self.decode, (self.examples.rows[int(number)] for (number,) in batches))
        with bar(f"decoding {self.split}", len(batches), self.training.machine.is_main) as progress:
            for indices, state in zip(batches, states, strict=True):
                yield indices, state
                progress.advance(len(indices))
                if self.training.stop.interrupted:
                    raise Stopped(True)

    def picked(self, count: int) -> np.ndarray:
        """Numbers of so many examples, evenly over all."""
        return np.linspace(0, len(self.examples) - 1, min(count, len(self.examples))).astype(np.int32)


@dataclass(frozen=True)
class Costs:
    """Of one example, on one core."""

    read: float
    """Seconds to read and decode its file, and encode that, as without an entry."""
    decode: float
    """Seconds to decode its file for the entry."""
    encode: float
    """Seconds to encode it from there."""
    bytes: float


def prepare_decoded(training: Training, task: Task, splits: Splits, phase: Phase) -> Splits:
    """The splits with their decoded examples, where a phase trains and validates on what is in files, and decoding them
    once is measured to save time. Raises Stopped after a signal; what was decoded until then is kept."""
    if not isinstance(phase.solver, Loop):
        return splits
    machine, left = training.machine, phase.epochs - training.state.epoch
    asked = {
        name: Decoding(training, task, examples, name)
        for name, examples in splits.by_name().items()
        if name != "test" and examples.stored is None and examples.decoded is None and examples.table is not None
    }
    with training.clock.part("cache"):
        sizes = _choose(training, splits, asked, left) if machine.is_main else {}
        # the main process names the entries: others may know another cache folder
        named = {name: (asked[name].key, size) for name, size in sizes.items()}
        found: dict[str, Decoded] = {}
        for name, (key, size) in dict(broadcast_object_list([named])[0]).items():
            read = in_step(machine.accelerator, partial(_read_or_build, asked[name], key, size))
            if not machine.is_main:
                read = _load(asked[name], key)
            if read is not None:
                found[name] = read
        return splits.with_decoded(found)


def _choose(training: Training, splits: Splits, asked: Mapping[str, Decoding], epochs: int) -> dict[str, float]:
    """By split that is decoded once, the bytes of an example; a resumed phase keeps to what it did before."""
    state, cache = training.state, training.cache
    possible = {name: one for name, one in asked.items() if one.task.input.decoding(one.augmented) is not None}
    earlier = state.decoded[state.phase] if len(state.decoded) > state.phase else None
    if earlier and cache.mode == "off":
        logger.warning("--cache off: files are read again in every epoch, so that random crops differ a little")
    costs: dict[str, Costs] = {}
    if cache.mode != "off" and earlier is not False and (earlier or epochs > 1):
        costs = {name: measure(one) for name, one in possible.items()}
    pays = bool(costs) and (earlier or _pays(costs, possible, epochs))
    before = [*state.decoded, *[False] * state.phase][: state.phase]
    state.decoded = [*before, pays or any(examples.decoded is not None for examples in splits.by_name().values())]
    return {name: cost.bytes for name, cost in costs.items()} if pays else {}


def measure(one: Decoding) -> Costs:
    """Times a few examples each way."""
    rows = [one.examples.rows[int(number)] for number in one.picked(TIMED)]
    seed = 0 if one.augmented else None
    one.task.encode(rows[0], seed)  # imports what it needs
    begun = time.perf_counter()
    states = [one.decode(row) for row in rows]
    decoded = time.perf_counter()
    for row, state in zip(rows, states, strict=True):
        one.task.encode(row, seed, unpacked(state["x"][0]))
    encoded = time.perf_counter()
    for row in rows:
        one.task.encode(row, seed)
    read = time.perf_counter()
    count = len(rows)
    size = sum(float(state["lengths"]) for state in states) / count
    return Costs((read - encoded) / count, (decoded - begun) / count, (encoded - decoded) / count, size)


def _pays(costs: Mapping[str, Costs], asked: Mapping[str, Decoding], epochs: int) -> bool:
    """Whether decoding once is expected to save more than SAVED seconds."""
    whole = once = size = 0.0
    for name, cost in costs.items():
        one = asked[name]
        count, ahead = len(one.examples), max(1, one.training.machine.workers.count)
        missing = not one.training.cache.store.has(one.key)
        whole += count * epochs * cost.read / ahead
        once += count * (epochs * cost.encode / ahead + missing * cost.decode / launcher.own_cores())
        size += count * cost.bytes
    pays = whole - once > SAVED
    logger.info(
        "files: %.1f s expected if they are decoded in each of %d epochs, %.1f s if once and kept (%.1f MB): %s",
        whole,
        epochs,
        once,
        size / 1e6,
        "once" if pays else "in each",
    )
    return pays


def _read_or_build(one: Decoding, key: str, size: float) -> Generator[None, None, Decoded | None]:
    """Opens an entry or builds it, a yield after each shard; None, aloud, where it cannot be kept."""
    cache, begun = one.training.cache, time.monotonic()
    read = _open(one, key)
    hit = read is not None
    if read is None:
        try:
            yield from _build(one, key, size)
            read = _load(one, key)
        except (OSError, SafetensorError) as error:
            logger.warning("%s: files are decoded in every epoch: %s (in %s)", one.split, error, cache.store.root)
    if read is not None:
        seconds = 0.0 if hit else time.monotonic() - begun
        cache.figures.decoded[one.split] = {"bytes": read.features.bytes, "build_seconds": seconds, "hit": hit}
    return read


def _open(one: Decoding, key: str) -> Decoded | None:
    """The entry, checked; None where there is none, or a damaged one, which is removed aloud."""
    store = one.training.cache.store
    if not store.has(key):
        return None
    try:
        found = _load(one, key, strict=True)
        rows = {int(number): one.examples.rows[int(number)] for number in one.picked(CHECKED)}
        if found and all(torch.equal(found[n], unpacked(one.decode(row)["x"][0])) for n, row in rows.items()):
            return found
        reason = "examples decoded again are not what it holds"
    except Damaged as error:
        reason = str(error)
    entries.throw_away(store, key, reason)
    return None


def _load(one: Decoding, key: str, strict: bool = False) -> Decoded | None:
    """The entry, memory-mapped; None where there is none that can be read, or with `strict` Damaged."""
    try:
        entry = one.training.cache.store.entry(key)
        return Decoded(shards.open_states(entry, 0, len(one.examples), 0), one.augmented)
    except Damaged:
        if strict:
            raise
        return None


def _build(one: Decoding, key: str, size: float) -> Iterator[None]:
    """Builds the entry, or waits while another run does; OSError where it cannot be."""
    cache, count = one.training.cache, len(one.examples)
    with cache.store.building(key, entries.waiting(one.split, one.training.stop)) as folder:
        if cache.store.has(key):
            return
        entries.refuse_size(cache, size * count, sum(path.stat().st_size for path in folder.iterdir()))
        single = [np.array([number], np.int32) for number in range(count)]
        groups = shards.shards(single, np.full(count, size))
        plan = {"rows": count, "shards": len(groups), "bytes": size}
        about = {"task": one.task.name, "split": one.split, "cut": "decoded"}
        with entries.emptied_if_full(folder):
            for _ in shards.build(folder, cache.store.entry(key), groups, plan, one.run, about):
                yield
