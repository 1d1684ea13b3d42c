"""Phases of the strategies, and options that nothing would read."""

from __future__ import annotations

import pytest

from mmtransfer.errors import MMTransferError
from mmtransfer.strategies import PROBE_LR, LinearProbe, ProbeThenFull


def test_the_probe_takes_the_solver_that_the_task_has():
    (exact,), (loop,) = (LinearProbe().plan(4, 0.1, 3, exact) for exact in (True, False))
    assert (exact.solver, exact.epochs, exact.stages, exact.refit) == ("exact", 0, (), True)
    assert (loop.solver, loop.epochs, loop.head_lr) == ("loop", 3, PROBE_LR)
    assert LinearProbe(solver="loop").plan(4, 0.1, 3, True)[0].solver == "loop"
    assert LinearProbe(prior="names").plan(4, 0.1, 3, True)[0].folds == 5


@pytest.mark.parametrize(
    ("strategy", "exact", "words"),
    [
        (LinearProbe(solver="exact"), False, "no exact solver(.|\n)*give --strategy.solver loop"),
        (LinearProbe(head_lr=0.1), True, "Only the solver loop reads it(.|\n)*--strategy.head-lr"),
        (LinearProbe(folds=3), False, "Only the solver exact reads it(.|\n)*--strategy.folds"),
        (LinearProbe(prior="names", solver="loop"), True, "Only the solver exact reads it(.|\n)*--strategy.prior"),
        (LinearProbe(folds=1), True, "1 folds leave nothing"),
        (ProbeThenFull(head_epochs=2), True, "Only the solver loop reads it(.|\n)*--strategy.head-epochs"),
        (ProbeThenFull(head_epochs=3), False, "3 of 3 epochs for the head leave none"),
    ],
)
def test_options_that_nothing_would_read_are_refused(strategy, exact, words):
    with pytest.raises(MMTransferError, match=words):
        strategy.plan(4, 0.1, 3, exact)


def test_lp_ft_keeps_the_validation_data_from_the_head():
    probe, full = ProbeThenFull().plan(3, 0.1, 5, True)
    assert (probe.solver, probe.refit, probe.epochs, full.epochs) == ("exact", False, 0, 5)
    assert (full.stages, full.lr, full.head_lr) == ((0, 1, 2), 0.05, 0.25)
    probe, full = ProbeThenFull().plan(3, 0.1, 5, False)
    assert (probe.solver, probe.epochs, full.epochs) == ("loop", 1, 4)
