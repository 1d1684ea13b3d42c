"""What ends training before its time."""

from __future__ import annotations

from mmtransfer.engine import stopping
from mmtransfer.engine.state import TrainState
from mmtransfer.engine.stopping import Stop


def test_the_budget_leaves_time_to_score_at_the_speed_of_training(monkeypatch):
    monkeypatch.setattr(stopping.time, "time", lambda: 1000.0)
    state = TrainState(seconds=10.0, examples=100)
    assert Stop(deadline=1005.0, coming=60).is_due(state) and not Stop(deadline=1005.0, coming=40).is_due(state)
    assert not Stop(deadline=1005.0, coming=60).is_due(TrainState()), "nothing is known of the speed yet"
    assert not Stop().is_due(state)


def test_signals_that_come_in_later_are_seen():
    signals: list[int] = []
    stop = Stop(signals)
    assert not stop.interrupted
    signals.append(15)
    assert stop.interrupted
