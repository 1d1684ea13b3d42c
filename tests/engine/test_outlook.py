"""How long a run takes is told once, after its first steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mmtransfer.engine import outlook
from mmtransfer.engine.outlook import FIRST, Outlook
from mmtransfer.strategies import Exact, Loop, Phase, Rates, Selection


def begun(monkeypatch: Any, solver: Any, seconds: list[float], minutes: float | None = None) -> Outlook:
    """An outlook on a run of 100 training and 50 validation examples, in epochs of ten steps, two minutes in."""
    monkeypatch.setattr(outlook.time, "monotonic", lambda: seconds[0])
    clock: Any = SimpleNamespace(spent=lambda: {"total": 120.0})
    splits: Any = SimpleNamespace(by_name=lambda: {"train": range(100), "validation": range(50)})
    made = Outlook()
    made.plan(clock, minutes, splits, [Phase("one", Selection(), Rates((), 1.0), solver)], 10)
    return made


@pytest.mark.parametrize(
    ("minutes", "said"), [(None, "about 13 minutes in all"), (4.0, "about 4 minutes in all, by --max-minutes")]
)
def test_a_loop_is_told_from_its_steps(monkeypatch: Any, caplog: Any, minutes: float | None, said: str) -> None:
    seconds = [0.0]
    made = begun(monkeypatch, Loop(10), seconds, minutes)
    with caplog.at_level("INFO"):
        for step in range(1, 20):
            seconds[0] += 6.0
            made.after_step(step, 10)
            assert bool(caplog.messages) == (step >= FIRST)
    # 120 s so far, 95 steps of 6 s, and 550 examples scored at a third of 0.6 s: 800 s
    assert caplog.messages == [said]


def test_steps_in_which_passes_are_recorded_do_not_count(monkeypatch: Any, caplog: Any) -> None:
    seconds = [0.0]
    made = begun(monkeypatch, Loop(10), seconds)
    made.recording = 4
    with caplog.at_level("INFO"):
        for step in range(1, 20):
            seconds[0] += 6.0 if step > 5 else 600.0
            made.after_step(step, 10)
            assert bool(caplog.messages) == (step >= FIRST + 4)
        assert caplog.messages == ["about 13 minutes in all"]  # 91 steps of 6 s
        made.recording = 20  # of the next phase
        for step in range(20, 40):
            made.after_step(step, 10)
    assert len(caplog.messages) == 1, "it speaks once"


def test_a_pass_through_frozen_stages_is_told_from_its_batches(monkeypatch: Any, caplog: Any) -> None:
    made = begun(monkeypatch, Exact(), [0.0])
    with caplog.at_level("INFO"):
        for batch in range(1, 9):
            made.after_batch(10 * batch, 20.0 * batch)
    assert caplog.messages == ["about 5 minutes in all"]  # 2 minutes, and 100 of 150 examples at 2 s each
    made.after_step(1, 10)
    assert len(caplog.messages) == 1
