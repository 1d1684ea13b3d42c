"""Phases of the strategies, and options that nothing would read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import planned, resolve
from mmtransfer.strategies import (
    PROBE_LR,
    BitFit,
    Exact,
    Full,
    LinearProbe,
    Loop,
    Norm,
    ProbeThenFull,
    Rates,
    Selection,
)


def test_the_probe_takes_the_solver_that_the_task_has():
    (exact,), (loop,) = (LinearProbe(solver).plan(4, 0.1, 3) for solver in ("exact", "loop"))
    assert (exact.solver, exact.epochs, exact.trains) == (Exact(), 0, Selection()) and exact.solver.refit
    assert (loop.solver, loop.epochs, loop.rates.head) == (Loop(3), 3, PROBE_LR)
    assert LinearProbe("exact", prior="names").plan(4, 0.1, 3)[0].solver == Exact(5, prior=True)


def test_the_stages_that_are_tried_are_spread_evenly_up_to_the_last():
    def layers(layer, stages):
        return LinearProbe("exact", layer=layer).plan(stages, 0.1, 3)[0].solver.layers

    tried = {stages: layers("auto", stages) for stages in (1, 3, 5, 13)}
    assert tried == {1: (1,), 3: (1, 2, 3), 5: (2, 3, 4, 5), 13: (4, 7, 10, 13)}
    assert layers("last", 5) == () and layers(2, 5) == (2,)


@pytest.mark.parametrize(
    ("strategy", "exact", "words"),
    [
        (LinearProbe(head_lr=0.1), True, "Only the solver loop reads it(.|\n)*.head_lr.: "),
        (LinearProbe(folds=3), False, "Only the solver exact reads it(.|\n)*.folds.: "),
        (LinearProbe(prior="names", solver="loop"), True, "Only the solver exact reads it(.|\n)*.prior.: "),
        (LinearProbe(folds=1), True, "1 folds leave nothing"),
        (LinearProbe(layer=2), False, "Only the solver exact reads it(.|\n)*.layer.: "),
        (LinearProbe(layer=5), True, "has 4 stages; 5 is none of them(.|\n)*give 1 to 4, last or auto"),
        (LinearProbe(layer="first"), True, "'first' is none of them"),
        (ProbeThenFull(head_epochs=2), True, "Only the solver loop reads it(.|\n)*.head_epochs.: "),
        (ProbeThenFull(head_epochs=3), False, "3 of 3 epochs for the head leave none"),
    ],
)
def test_options_that_nothing_would_read_are_refused(strategy, exact, words):
    with pytest.raises(MMTransferError, match=words):
        replace(strategy, solver=strategy.solver or ("exact" if exact else "loop")).plan(4, 0.1, 3)


def test_a_task_without_an_exact_solver_says_so():
    with pytest.raises(MMTransferError, match="no exact solver(.|\n)*give strategy_options=..solver.: .loop."):
        resolve(task=SPEECH, train="data", strategy=LinearProbe(solver="exact"))
    assert resolve(task=SPEECH, train="data", strategy="linear-probe").strategy_options["solver"] == "loop"
    assert resolve(task=TEXT, train="data", strategy="lp-ft").strategy_options["solver"] == "exact"
    assert resolve(task=TEXT, train="data", strategy="lp-ft", head="mlp").strategy_options["solver"] == "loop"


def test_a_probe_is_trained_by_the_loop_where_the_problem_is_another(caplog):
    for settings in ({"label_smoothing": 0.1}, {"weight_decay": 0.3}):
        assert (
            resolve(task=TEXT, train="data", strategy="linear-probe", **settings).strategy_options["solver"] == "loop"
        )
    with pytest.raises(MMTransferError, match="The exact solver does not read label_smoothing="):
        resolve(task=TEXT, train="x", strategy=LinearProbe(solver="exact"), label_smoothing=0.1)
    resolve(task=TEXT, train="data", strategy="linear-probe", epochs=3)
    assert "the head is found exactly, without" in caplog.text


def test_lp_ft_keeps_the_validation_data_from_the_head():
    probe, full = ProbeThenFull(solver="exact").plan(3, 0.1, 5)
    assert (probe.solver, full.epochs) == (Exact(refit=False), 5)
    assert (full.trains, full.rates) == (Selection((0, 1, 2)), Rates((0.1, 0.1, 0.1), 0.5))
    probe, full = ProbeThenFull().plan(3, 0.1, 5)
    assert (probe.solver, full.solver) == (Loop(1), Loop(4))


@pytest.mark.parametrize("strategy", ["full", "partial"])
def test_a_fresh_head_learns_ten_times_faster_except_of_ctc(strategy: str) -> None:
    def ratio(task: str) -> float:
        settings = resolve(task=task, train="data", strategy=strategy)
        (phase,) = planned(settings, 5)
        return phase.rates.head / phase.rates.stages[0]

    assert (ratio(IMAGE), ratio(TEXT), ratio(SPEECH)) == pytest.approx((10.0, 10.0, 1.0))
    case = resolve(task=IMAGE, train="builtin", strategy=strategy)
    assert case.strategy_options["head_lr_ratio"] == 1.0
    given = resolve(task=TEXT, train="data", strategy=strategy, strategy_options={"head_lr_ratio": 3.0})
    assert given.strategy_options["head_lr_ratio"] == 3.0
    assert resolve(task=SPEECH, train="data", strategy=Full()).strategy_options["head_lr_ratio"] == 1.0


def test_lp_ft_trains_everything_at_the_rate_of_full() -> None:
    probe, everything = ProbeThenFull(solver="exact").plan(5, 1e-3, 3)
    assert everything.rates.stages == Full().plan(5, 1e-3, 3)[0].rates.stages
    assert probe.solver == Exact(refit=False)


def test_a_part_of_the_stages_is_a_selection() -> None:
    (phase,) = BitFit().plan(3, 1e-4, 5)
    assert (phase.trains, phase.solver) == (Selection((0, 1, 2), "bias"), Loop(5))
    assert phase.rates.head == phase.rates.stages[0] == pytest.approx(1e-3)
    assert Norm(n=1).plan(3, 1e-4, 5)[0].trains == Selection((2,), "norm")
    with pytest.raises(MMTransferError, match="4 of them cannot be trained"):
        BitFit(n=4).plan(3, 1e-4, 5)


@pytest.mark.parametrize("made, option", [(BitFit(n=0), "--strategy.n"), (Norm(n=9), "--strategy.n")])
def test_a_part_of_stages_that_are_not_there_is_refused(made, option):
    with pytest.raises(MMTransferError, match="cannot be trained") as error:
        made.plan(4, 0.1, 3)
    assert error.value.where == option


@pytest.mark.parametrize("epochs", [-1, 0, 3])
def test_a_probe_of_no_epochs_or_of_all_is_refused(epochs):
    with pytest.raises(MMTransferError, match="leave none"):
        ProbeThenFull(solver="loop", head_epochs=epochs).plan(4, 0.1, 3)
