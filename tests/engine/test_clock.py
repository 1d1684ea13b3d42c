"""Seconds of a run by part: none is counted twice, none is lost."""

from __future__ import annotations

import pytest

from mmtransfer.engine import clock
from mmtransfer.engine.clock import Clock


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
