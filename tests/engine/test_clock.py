"""Seconds of a run by part: none is counted twice, none is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from accelerate import Accelerator

from mmtransfer.engine import clock, loop, phases
from mmtransfer.engine.clock import Clock
from mmtransfer.engine.loading import Examples
from tests.engine.pieces import start_of


@pytest.fixture
def now(monkeypatch):
    """Seconds that go by when the test says so."""
    passed = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(clock.time, "time", lambda: passed[0])
    return passed


def test_a_part_within_another_is_counted_once(now):
    watch = Clock()
    now[0] += 1
    with watch.part("train"):
        now[0] += 2
        with watch.part("cache"):
            now[0] += 4
        now[0] += 8
        assert watch.spent() == {"train": 10, "cache": 4, "total": 15}
        now[0] += 16
    now[0] += 32
    assert watch.spent() == {"train": 26, "cache": 4, "total": 63}


def test_what_fails_is_counted_and_earlier_starts_are_added(now):
    watch = Clock()
    watch.earlier = {"train": 1000.0, "total": 2000.0}
    with pytest.raises(ValueError), watch.part("train"):
        now[0] += 3
        raise ValueError
    now[0] += 5
    assert watch.spent() == {"train": 1003, "total": 2008}


def test_the_speed_of_training_counts_the_waits_for_data_and_for_the_device(tmp_path, monkeypatch):
    training, model, splits, phase = start_of("text", tmp_path, False, 10_000, Accelerator(cpu=True))
    training = replace(training, config=replace(training.config, batch_size=7, log_every=2))
    passed, batches, reduce = [0.0], Examples.batches, training.machine.accelerator.reduce

    def slowly(*given):
        for batch in batches(*given):
            passed[0] += 3
            yield batch

    def waiting(*given):
        passed[0] += 5
        return reduce(*given)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: passed[0]))
    monkeypatch.setattr(Examples, "batches", slowly)
    monkeypatch.setattr(training.machine.accelerator, "reduce", waiting)
    phases.train(training, model, splits, [phase])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 6]  # the last step of an epoch has a line as well
    # 3 seconds a step and 5 a line
    assert [line["examples_per_second"] for line in lines] == pytest.approx([14 / 11, 21 / 19, 28 / 27, 42 / 38])
    assert [line["stall_share"] for line in lines] == pytest.approx([6 / 11, 9 / 19, 12 / 27, 18 / 38])
    assert training.state.seconds == 38
