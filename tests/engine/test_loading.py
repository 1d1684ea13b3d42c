"""Batches: the same with workers and without, from processes that stay."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest
import tiny
import torch

from mmtransfer import backbones
from mmtransfer.cache import features
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.data import sources
from mmtransfer.engine.loading import Examples, examples_of
from mmtransfer.resolution import resolve
from mmtransfer.tasks import TASKS, Task
from mmtransfer.tasks.base import Batch

MAKERS = {IMAGE: tiny.images, TEXT: tiny.text}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    found = {}
    for name, maker in MAKERS.items():
        flags = maker(tmp_path_factory.mktemp("loading"))
        config = resolve(**parse(name, [*flags, "--weights", "none"], {}, "a test"))
        task = TASKS[name].make(config, backbones.load(str(config.backbone), "none"))
        table = sources.load(config.train, task.input.kind, task.columns())
        task.prepare(table)
        found[name] = task, examples_of(task, table)
    return found


def passes(task: Task, examples: Examples, workers: int) -> list[torch.Tensor]:
    """Pixels of two epochs in different orders, the first left in its middle, and of an evaluation between them."""
    orders = ([[0, 1], [2, 3], [4]], [[4, 2], [1], [0, 3]])
    first = iter(examples.batches(task, iter(orders[0]), workers, False, 7, 0))
    found = [next(first).state["x"] for _ in range(2)]
    found += [batch.state["x"] for batch in examples.batches(task, orders[1], workers, False)]
    return [*found, *(batch.state["x"] for batch in examples.batches(task, iter(orders[1]), workers, False, 7, 1))]


def test_workers_stay_and_change_nothing(made):
    task, examples = made[IMAGE]
    plain, ahead = passes(task, examples, 0), passes(task, examples, 2)
    assert len(plain) == 8 and all(torch.equal(one, other) for one, other in zip(plain, ahead, strict=True))
    assert plain[0].dtype == torch.uint8 and not torch.equal(plain[0][0], plain[7][0])  # drawn by the epoch
    (kept,) = (loader for (*_, workers, _), loader in examples._loaders.items() if workers == 2)
    started = [process.pid for process in kept.loader._iterator._workers]
    passes(task, examples, 2)
    assert [process.pid for process in kept.loader._iterator._workers] == started


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_a_program_that_spawns_its_processes_does_not_need_to_pickle_the_task(made):
    task, examples = made[IMAGE]
    before = multiprocessing.get_start_method()
    object.__setattr__(task.input, "unpicklable", lambda: None)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        fresh = Examples(examples.rows, examples.lengths, examples.answers)
        assert len(list(fresh.batches(task, [[0], [1], [2]], 1, False))) == 3
    finally:
        multiprocessing.set_start_method(before, force=True)
        del task.input.unpicklable


def test_processes_are_not_started_for_texts_or_for_one_batch(made):
    for name, batches in ((TEXT, [[0], [1], [2]]), (IMAGE, [[0, 1, 2]])):
        task, examples = made[name]
        fresh = Examples(examples.rows, examples.lengths, examples.answers)
        assert len(list(fresh.batches(task, batches, 3, False))) == len(batches)
        assert [workers for *_, workers, _ in fresh._loaders] == [0]


@pytest.mark.parametrize("pin", [True, False])
def test_batches_of_all_kinds_lie_where_a_gpu_can_fetch_them_if_that_is_asked_for(made, monkeypatch, pin):
    pinned = []
    monkeypatch.setattr(Batch, "pin_memory", lambda batch: pinned.append(batch) or batch)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    whole, texts = made[TEXT]
    everyone = np.arange(len(texts), dtype=np.int32)
    states = features.collect(1, len(texts), iter([(everyone, {"x": torch.zeros(len(texts), 2)})]))
    for task, examples in (made[IMAGE], made[TEXT], (whole, texts.with_states(states, whole))):
        batches = list(examples.batches(task, [[0, 1], [2]], 0, pin))
        assert [len(batch) for batch in batches] == [2, 1]
        assert [len(batch) for batch in pinned] == ([2, 1] if pin else [])
        pinned.clear()
