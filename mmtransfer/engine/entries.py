"""An entry of the cache: its name, and how it is built, opened and checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmtransfer import disk
from mmtransfer.cache import features as shards
from mmtransfer.cache import key as keys
from mmtransfer.cache.features import Damaged, Features
from mmtransfer.cache.settings import Cache
from mmtransfer.cache.store import WAIT_SECONDS, Store, discard
from mmtransfer.engine import budget, memory
from mmtransfer.engine.precision import arithmetic, layout_of
from mmtransfer.engine.states import States
from mmtransfer.engine.stopping import Stop, Stopped

logger = logging.getLogger("mmtransfer")
TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2, "fp16": 5e-2}
"""Largest difference of a row computed again, alone, over the row's largest value. Alone differs from in a batch by
1e-6 (bf16: 1e-2); what the check is there for, other weights or another program, differs by 1."""
CHECKED = 3
"""Rows computed again when an entry is opened."""


def name_entries(splits: Mapping[str, States]) -> dict[str, str]:
    """By split, the key of its states; all are of one model and one cut."""
    if not splits:
        return {}
    first = next(iter(splits.values()))
    prefix = keys.prefix(first.model.backbone, first.cut)
    return {name: _key(states, prefix) for name, states in splits.items()}


def _key(states: States, prefix: str) -> str:
    model, table = states.model, states.examples.table
    assert table is not None  # nothing is stored of examples without
    return keys.key(
        prefix,
        model.task.input.encoding(),
        states.cut,
        model.reads if states.cut == model.end else "",
        arithmetic(model.precision, states.machine.device),
        keys.device_name(states.machine.device),
        keys.contents(table, states.cache.store.root),
        layout_of(model),
    )


def load_entry(states: States, key: str) -> Features:
    """The entry of this key, in memory where a quarter of what is free is enough; raises Damaged."""
    count, entry = len(states.examples), states.cache.store.entry(key)
    return shards.open_states(entry, states.cut, count, memory.free_bytes() // 4)


def open_entry(states: States, key: str) -> Features | None:
    """The entry of this key, checked; None where there is none, or a damaged one, which is removed aloud."""
    store = states.cache.store
    if not store.has(key):
        return None
    try:
        features = load_entry(states, key)
        if _agrees(states, features, key):
            return features
        reason = "rows computed again are not what it holds"
    except Damaged as error:
        reason = str(error)
    throw_away(store, key, reason)
    return None


def throw_away(store: Store, key: str, reason: str) -> None:
    """Removes an entry, aloud."""
    logger.warning("cache entry %s is thrown away: %s", key, reason)
    try:
        discard(store.entry(key))
    except OSError as error:
        logger.warning("cache entry %s cannot be removed: %s", key, error)


def _agrees(states: States, features: Features, key: str) -> bool:
    """Whether a few rows, picked by the key and computed again, are those of the entry."""
    count = len(states.examples)
    random = np.random.Generator(np.random.Philox(int(key[:16], 16)))
    picked = random.choice(count, min(CHECKED, count), replace=False).astype(np.int32)
    for indices, state in states.compute([picked[n : n + 1] for n in range(len(picked))]):
        stored = features.state(indices.tolist())["x"]
        if stored.shape != state["x"].shape or stored.dtype != state["x"].dtype:
            return False
        difference = (stored.float() - state["x"].float()).abs().max()
        tolerance = TOLERANCE[arithmetic(states.model.precision, states.machine.device)]
        if not difference <= tolerance * state["x"].float().abs().max():  # NaN is no agreement
            return False
    return True


def build_entry(states: States, key: str) -> Iterator[None]:
    """Builds an entry, or waits while another run does; a yield after each shard.

    OSError where it cannot be; on a full disk nothing of it is left.
    """
    store, sizes = states.cache.store, states.sizes()
    megabytes, count = float(sizes.sum()) / 1e6, len(states.examples)
    logger.info("%s: features of %d examples, about %.1f MB in %s", states.label, count, megabytes, store.root)
    with store.building(key, waiting(states.label, states.stop)) as folder:
        if store.has(key):
            return
        refuse_size(states.cache, float(sizes.sum()), sum(path.stat().st_size for path in folder.iterdir()))
        model = states.model
        units = int((shards.begun(folder) or {}).get("budget", budget.of_pass(model, states.machine)))
        groups = shards.shards(states.batches(units), sizes)
        plan = {"budget": units, "rows": count, "shards": len(groups)}
        about = {"task": model.task.name, "split": states.label, "backbone": model.backbone.name, "cut": states.cut}
        with emptied_if_full(folder):
            for _ in shards.build(folder, store.entry(key), groups, plan, states.run, about):
                yield


@contextmanager
def emptied_if_full(folder: Path) -> Iterator[None]:
    """Removes what was built in a folder where the disk is full: the run's own files need what room there is. OSError
    as it was, which says so."""
    try:
        yield
    except OSError as error:
        if disk.number_of(error) not in disk.FULL:
            raise
        for path in folder.iterdir():
            path.unlink()
        raise OSError(error.errno, f"{error.strerror}; what was stored of them is removed") from None


def waiting(label: str, stop: Stop) -> Callable[[], None]:
    """What is done again and again while another run builds the same entry: it is told once, and signals are heard."""
    told = False

    def wait() -> None:
        nonlocal told
        if not told:
            logger.info("%s: another run is building the same entry; waiting for it", label)
        told = True
        if stop.interrupted:
            raise Stopped(True)
        time.sleep(WAIT_SECONDS)

    return wait


def refuse_size(cache: Cache, total: float, built: int) -> None:
    """Raises OSError where an entry of `total` bytes, of which so many are built, is more than may be or can be."""
    if cache.store.bytes() - built + total > cache.limit:
        raise OSError(f"the cache would hold more than --cache-limit {cache.limit / 2**30:g} GiB")
    if total - built > 0.95 * cache.store.free():
        raise OSError(f"{total / 1e6:.0f} MB are more than the disk has left")
