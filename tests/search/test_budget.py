"""The time that is left for trying things."""

from __future__ import annotations

from mmtransfer.search import budget
from mmtransfer.search.budget import EXIT, MARGIN, Budget


def test_the_end_and_earlier_starts_are_taken_off(monkeypatch):
    monkeypatch.setattr(budget.time, "time", lambda: 1030.0)
    left = Budget(started=1000.0, seconds=100.0, spent=20.0)
    assert left.elapsed == 50.0 and left.left == 50.0 - EXIT
    left.reserved(10.0)
    assert left.left == 50.0 - EXIT - 10.0 * MARGIN and left.deadline == 1030.0 + left.left
    assert left.allows(left.left / MARGIN) and not left.allows(left.left)
