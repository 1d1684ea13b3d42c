"""Features alone: of any examples, at any cut, without a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_runs import frozen_texts
from torch import nn

from mmtransfer.cache.settings import Cache, Figures
from mmtransfer.cache.store import Store
from mmtransfer.engine.features import cached_features, features, features_of_splits
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.engine.processes import accelerator, in_step
from mmtransfer.engine.splits import Splits
from mmtransfer.tasks.targets import MultiLabel


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return frozen_texts(tmp_path_factory.mktemp("features"))


@pytest.fixture
def parts(made):
    """A model, examples and a machine, which every test has anew."""
    model, examples = made
    return model, examples, Machine.as_it_is(model.task.config, accelerator())


@pytest.fixture
def cache(tmp_path):
    return Cache("auto", Store(tmp_path / "cache"))


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_they_are_what_the_model_reaches_and_are_computed_once(parts, cache, monkeypatch, cut):
    model, examples, machine = parts
    built = features(model, examples, machine, cut, cache)
    assert (len(built), built.cut, cache.figures.hits) == (len(examples), cut, 0)
    (batch,) = examples.batches(model.task, [[5]], 0, False)
    with torch.no_grad():
        expected = model.reach(batch.state, 0, cut)["x"]
    assert torch.allclose(built.state([5])["x"], expected, atol=1e-6)
    monkeypatch.setattr("mmtransfer.engine.states.States.run", lambda *_: pytest.fail("it was computed again"))
    again = features(model, examples, machine, cut, cache)
    assert cache.figures.hits == 1 and torch.equal(again.state([5])["x"], built.state([5])["x"])


def test_without_a_cache_they_are_in_memory_and_nothing_is_written(parts, cache):
    model, examples, machine = parts
    for off in (replace(cache, mode="off", figures=Figures()), cache):
        unnamed = examples if off is not cache else replace(examples, table=None)
        read = features(model, unnamed, machine, model.end, off)
        assert read.matrix().shape == (len(examples), model.backbone.width) and off.figures.passed == len(examples)
        assert cached_features(model, unnamed, machine, off) is None
    assert not cache.store.root.exists()


def test_what_is_read_out_has_an_entry_of_its_own_and_the_task_has_none(parts, cache):
    model, examples, machine = parts
    assert cached_features(model, examples, machine, cache) is None and not cache.store.listing()
    features(model, examples, machine, model.end, cache)
    other = replace(model.task, name="another-task", target=MultiLabel(model.task.config))
    for task in (model.task, other):
        asked = Model(model.backbone, nn.Identity(), task, "fp32", pooled=True).eval()
        assert asked.reads == "pooled mean" and cached_features(asked, examples, machine, cache) is not None
    assert len(cache.store.listing()) == 1


def test_new_splits_have_the_states_and_the_old_ones_have_not(parts, cache):
    model, examples, machine = parts
    splits = Splits(examples, test=examples)
    assert list(splits.by_name()) == ["train", "test"]
    read = features_of_splits(model, {"train": examples}, machine, model.end, cache)
    stored = splits.with_states(read, model.task)
    assert (stored.train.cut, stored.test.cut, splits.train.cut) == (model.end, 0, 0)
    assert stored.train.stored.targets.shape == (len(examples),)
    assert stored.without_states().train.stored is None and stored.train.stored is not None


def test_work_in_step_gives_what_it_returns_and_raises_what_it_raises():
    def work():
        yield
        yield
        return "done"

    def fall():
        yield
        raise ValueError("fell")

    assert in_step(accelerator(), work) == "done"
    with pytest.raises(ValueError, match="fell"):
        in_step(accelerator(), fall)
