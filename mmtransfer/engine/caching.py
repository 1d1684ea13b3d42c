"""Computing the frozen stages once: which splits' states are stored for a phase, and the pass that computes them."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from mmtransfer.backbones.staged import State
from mmtransfer.cache import features as shards
from mmtransfer.cache import key as keys
from mmtransfer.cache.features import Damaged, Features
from mmtransfer.cache.store import WAIT_SECONDS, discard
from mmtransfer.data.plan import Indices, evaluation_batches
from mmtransfer.engine import estimate, memory
from mmtransfer.engine.loading import Examples, Stored
from mmtransfer.engine.loop import Job, Stopped
from mmtransfer.engine.progress import bar
from mmtransfer.engine.trained import Trained
from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import Phase
from mmtransfer.tasks.base import Batch, Task

logger = logging.getLogger("mmtransfer")
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
"""Largest difference of a row computed again, alone, over the row's largest value. Alone differs from in a batch by
1e-6 (bf16: 1e-2); what the check is there for, other weights or another program, differs by 1."""
CHECKED = 3
"""Rows computed again when an entry is opened."""
ROWS = 512
"""Most examples of a batch of the pass."""
PIXELS = 4 * 224 * 224
"""Most pixels of a batch of pictures on a CPU, where each core takes batches of its own: maps of more pictures outgrow
its caches. 1.0x (ViT, ConvNeXt, CIFAR's 64 pixels) to 1.3x (MobileNet v2, EfficientNet, DenseNet) the pictures/s of
64 at a time on both of 2 cores."""


def obstacle(phase: Phase, task: Task) -> str | None:
    """Why a phase cannot read stored states; None if it can."""
    if phase.stages and min(phase.stages) == 0:
        return "the first stage trains, so nothing before it is frozen"
    if phase.solver == "loop" and task.augments:
        return "random augmentation shows other inputs every epoch (--augment none would not)"
    return None


def refuse(mode: str, plan: Sequence[Phase], task: Task) -> None:
    """Raises MMTransferError where the cache is asked for and no phase can have it."""
    reasons = [obstacle(phase, task) for phase in plan]
    if mode == "on" and all(reasons):
        found = "; ".join(f"phase {phase.name}: {reason}" for phase, reason in zip(plan, reasons, strict=True))
        raise MMTransferError(f"Nothing can be cached: {found}", "--cache on", "leave it at auto, or change that")


def prepare(job: Job, trained: Trained, phase: Phase, last: bool) -> None:
    """Gives the job's splits their stored states for a phase, or takes those of the phase before away.

    `last`: whether the test split is scored with this phase's frozen stages. Raises Stopped after a signal; what was
    built until then is kept.
    """
    begun = time.monotonic()
    splits = {"train": job.train, "validation": job.validation, **({"test": job.test} if last else {})}
    plain = {name: dataclasses.replace(examples, stored=None) for name, examples in splits.items() if examples}
    for name, examples in plain.items():
        setattr(job, name, examples)
    try:
        for name, found in states(job, trained, phase, plain):
            stored = Stored(found, plain[name].rows, job.task)
            setattr(job, name, dataclasses.replace(plain[name], stored=stored))
    finally:
        job.cache.seconds += time.monotonic() - begun


def states(job: Job, trained: Trained, phase: Phase, splits: dict[str, Examples]) -> Iterator[tuple[str, Features]]:
    """The splits whose states at `trained.start` are stored, with them; those of an exact phase always are, at least in
    the main process's memory."""
    wanted = _keys(job, trained, phase, splits)
    for name, key in wanted.items():
        found = _shared(job, trained, phase, name, splits[name], key)
        if found is not None:
            if key:
                job.cache.cut = "features" if found.cut == trained.end else f"stage {found.cut}"
            yield name, found


def _keys(job: Job, trained: Trained, phase: Phase, splits: dict[str, Examples]) -> dict[str, str]:
    """The key of each split that is to be stored (empty where that is in memory only); decided by the main process."""
    found: dict[str, str] = {}
    if job.accelerator.is_main_process:
        reason = obstacle(phase, job.task)
        if reason is not None and job.cache.mode != "off" and trained.start > 0:
            logger.warning("phase %s is not cached: %s", phase.name, reason)
        storable = reason is None and all(examples.table is not None for examples in splits.values())
        if storable and job.cache.mode != "off":
            found = name_all(job, trained, splits)
        if phase.solver == "exact":
            found = found or dict.fromkeys(splits, "")
        elif found and not _pays(job, trained, phase, splits, found):
            found = {}
        job.state.cached = [*job.state.cached[: job.state.phase], bool(found)]
    return dict(broadcast_object_list([found])[0])


def name_all(job: Job, trained: Trained, splits: dict[str, Examples]) -> dict[str, str]:
    """The keys of the splits' states at `trained.start`."""
    prefix = keys.prefix(trained.backbone, trained.start)
    encoding, device = job.task.encoding(), job.accelerator.device.type
    reads = f"{job.task.reads} {trained.backbone.pooling}".strip() if trained.start == trained.end else ""
    return {
        name: keys.key(
            prefix,
            encoding,
            trained.start,
            reads,
            trained.precision,
            device,
            keys.contents(examples.table, job.cache.store.root),
        )
        for name, examples in splits.items()
        if examples.table is not None and len(examples)
    }


def _pays(job: Job, trained: Trained, phase: Phase, splits: dict[str, Examples], found: dict[str, str]) -> bool:
    """Whether stored states are expected to cost less time; a resumed phase keeps to what it did before."""
    if len(job.state.cached) > job.state.phase:
        return job.state.cached[job.state.phase]
    if job.cache.mode == "on":
        return True
    missing = {name for name, key in found.items() if not job.cache.store.has(key)}
    try:
        costs = estimate.measure(job, trained, job.cache.store.root)
    except (OSError, SafetensorError) as error:
        logger.warning("not cached: %s cannot be written (%s)", job.cache.store.root, error)
        return False
    units = {name: float(examples.lengths.sum()) for name, examples in splits.items()}
    cached, whole = costs.totals(units, missing, phase.epochs - job.state.epoch)
    job.cache.expected = {"cached": cached, "uncached": whole}
    pays = cached < whole
    logger.info(
        "cache: %.1f s expected for the frozen stages if computed once%s, %.1f s if every time: %s",
        cached,
        "" if missing else " (they are there already)",
        whole,
        "cached" if pays else "not cached",
    )
    return pays


def _shared(job: Job, trained: Trained, phase: Phase, name: str, examples: Examples, key: str) -> Features | None:
    """A split's features on this process; the main one builds, the others wait for it shard by shard.

    One wait for the whole build would outlast the processes' time limit for waiting.
    """
    outcome: list[Features | None] = []
    steps = iter(_steps(job, trained, phase, name, examples, key, outcome) if job.accelerator.is_main_process else ())
    alone, failure = job.accelerator.num_processes == 1, None
    while True:
        word = "more"
        if job.accelerator.is_main_process:
            try:
                next(steps)
            except StopIteration:
                word = "done"
            except BaseException as error:
                word, failure = "stop" if isinstance(error, Stopped) else "fail", error
        word = word if alone else broadcast_object_list([word])[0]
        if failure is not None:
            raise failure
        if word == "stop":
            raise Stopped(True)
        if word == "fail":
            raise RuntimeError("the main process could not compute the features")
        if word == "done":
            break
    if job.accelerator.is_main_process:
        return outcome[0]
    try:
        return shards.load(job.cache.store.entry(key), trained.start, len(examples), _memory()) if key else None
    except Damaged:  # never written: over a limit, or the folder is not this machine's
        return None


def _steps(
    job: Job, trained: Trained, phase: Phase, name: str, examples: Examples, key: str, outcome: list[Features | None]
) -> Iterator[None]:
    """Opens or builds a split's features and puts them into `outcome`, a yield after each shard."""
    features = None
    if key:
        features = opened(job, trained, examples, key)
        job.cache.hits += features is not None
        if features is None:
            begun = time.monotonic()
            try:
                yield from _build(job, trained, name, examples, key)
                features = shards.load(job.cache.store.entry(key), trained.start, len(examples), _memory())
            except (OSError, SafetensorError, Damaged) as error:
                logger.warning("%s: features are not cached: %s (in %s)", name, error, job.cache.store.root)
            job.cache.build_seconds += time.monotonic() - begun
        job.cache.bytes += features.bytes if features is not None else 0
    if features is None and phase.solver == "exact":
        passed = run(job, trained, name, examples, batches(job, examples))
        features = shards.collect(trained.start, len(examples), passed)
    outcome.append(features)


def opened(job: Job, trained: Trained, examples: Examples, key: str) -> Features | None:
    """The entry of this key, checked; None where there is none, or a damaged one, which is removed aloud."""
    store = job.cache.store
    if not store.has(key):
        return None
    try:
        features = shards.load(store.entry(key), trained.start, len(examples), _memory())
        if agrees(job, trained, examples, features, key):
            return features
        reason = "rows computed again are not what it holds"
    except Damaged as error:
        reason = str(error)
    logger.warning("cache entry %s is thrown away: %s", key, reason)
    try:
        discard(store.entry(key))
    except OSError as error:
        logger.warning("cache entry %s cannot be removed: %s", key, error)
    return None


def agrees(job: Job, trained: Trained, examples: Examples, features: Features, key: str) -> bool:
    """Whether a few rows, picked by the key and computed again, are those of the entry."""
    random = np.random.Generator(np.random.Philox(int(key[:16], 16)))
    picked = random.choice(len(examples), min(CHECKED, len(examples)), replace=False).astype(np.int32)
    for indices, state in computed(job, trained, examples, [picked[n : n + 1] for n in range(len(picked))]):
        kept = features.state(indices.tolist())["x"]
        if kept.shape != state["x"].shape or kept.dtype != state["x"].dtype:
            return False
        difference = (kept.float() - state["x"].float()).abs().max()
        if not difference <= TOLERANCE[trained.precision] * state["x"].float().abs().max():  # NaN is no agreement
            return False
    return True


def _build(job: Job, trained: Trained, name: str, examples: Examples, key: str) -> Iterator[None]:
    """Builds an entry, or waits while another run does; a yield after each shard. OSError where it cannot be."""
    store, final = job.cache.store, job.cache.store.entry(key)
    sizes = _sizes(job, trained, examples)
    total = float(sizes.sum())
    logger.info("%s: features of %d examples, about %.1f MB in %s", name, len(examples), total / 1e6, store.root)

    def waiting() -> None:
        if not said:
            said.append(True)
            logger.info("%s: another run is building the same features; waiting for it", name)
        if job.interrupted():
            raise Stopped(True)
        time.sleep(WAIT_SECONDS)

    said: list[bool] = []
    with store.building(key, waiting) as folder:
        if store.has(key):
            return
        own = sum(path.stat().st_size for path in folder.iterdir())
        if store.bytes() - own + total > job.cache.limit:
            raise OSError(f"the cache would hold more than --cache-limit {job.cache.limit / 2**30:g} GiB")
        if total - own > 0.95 * store.free():
            raise OSError(f"{total / 1e6:.0f} MB are more than the disk has left")
        budget = int((shards.begun(folder) or {}).get("budget", 2 * job.task.budget()))
        while True:
            groups = shards.shards(evaluation_batches(examples.lengths, budget, _rows(job)), sizes)
            plan = {"budget": budget, "rows": len(examples), "shards": len(groups)}
            about = {"task": job.task.name, "split": name, "backbone": job.backbone.name, "cut": trained.start}

            def passed(batches: list[Indices]) -> Iterator[tuple[Indices, State]]:
                return run(job, trained, name, examples, batches)

            try:
                for _ in shards.build(folder, final, groups, plan, passed, about):
                    yield
                return
            except torch.OutOfMemoryError:
                if budget <= int(examples.lengths.min()):
                    raise
                budget //= 2
                torch.cuda.empty_cache()
                logger.warning("Out of memory: features in batches of at most %d units", budget)


def run(
    job: Job, trained: Trained, name: str, examples: Examples, batches: list[Indices]
) -> Iterator[tuple[Indices, State]]:
    """The pass with its progress bar; Stopped between two batches after a signal."""
    with bar(f"features of {name}", sum(map(len, batches)), job.accelerator.is_main_process) as progress:
        begun = time.monotonic()
        for indices, state in computed(job, trained, examples, batches, job.workers):
            job.cache.pass_seconds += time.monotonic() - begun
            job.cache.passed += len(indices)
            job.cache.passed_units += int(examples.lengths[indices].sum())
            yield indices, state
            begun = time.monotonic()
            progress.advance(len(indices))
            if job.interrupted():
                raise Stopped(True)


def computed(
    job: Job, trained: Trained, examples: Examples, batches: list[Indices], workers: int = 0
) -> Iterator[tuple[Indices, State]]:
    """Batches of examples -> their states at `trained.start`, on the CPU; frozen stages are in eval mode already."""
    device = job.accelerator.device
    load = examples.batches(job.task, [batch.tolist() for batch in batches], workers, device.type == "cuda")

    def state(batch: Batch) -> State:
        with torch.no_grad():
            return estimate.kept(trained.reach(batch.to(device).state, 0, trained.start))

    states = _on_each_core(state, load) if _small(job) else map(state, load)
    yield from zip(batches, states, strict=True)


def _on_each_core(state: Callable[[Batch], State], load: Iterable[Batch]) -> Iterator[State]:
    """The states of batches, in their order; each is computed by one thread, as many at a time as there are cores."""
    threads = torch.get_num_threads()
    waiting: deque[Future[State]] = deque()
    torch.set_num_threads(1)  # of this thread, which loads, and of those that begin from now on
    try:
        with ThreadPoolExecutor(threads) as cores:
            for batch in load:
                waiting.append(cores.submit(state, batch))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def _small(job: Job) -> bool:
    """Whether the pass runs in small batches, one a core."""
    return job.task.pixels > 0 and job.accelerator.device.type == "cpu"


def _rows(job: Job) -> int:
    """Most examples of a batch of the pass."""
    return max(1, PIXELS // job.task.pixels) if _small(job) else ROWS


def batches(job: Job, examples: Examples) -> list[Indices]:
    """The batches of a pass that stores nothing on disk."""
    return evaluation_batches(examples.lengths, 2 * job.task.budget(), _rows(job))


def _sizes(job: Job, trained: Trained, examples: Examples) -> np.ndarray:
    """Estimated bytes of each example's state, from the shape of one of middling length."""
    middle = int(np.argsort(examples.lengths, kind="stable")[len(examples) // 2])
    ((_, state),) = computed(job, trained, examples, [np.array([middle], np.int32)])
    size = state["x"].numel() * state["x"].element_size()
    if "lengths" not in state:
        return np.full(len(examples), float(size))
    return examples.lengths * (size / max(1, int(examples.lengths[middle])))


def _memory() -> int:
    """Bytes of features that are kept in memory: a quarter of what is free."""
    return memory.free_bytes() // 4
