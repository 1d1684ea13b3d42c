"""Phases of the strategies, and options that nothing would read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import planned, resolve
from mmtransfer.strategies import (
    L2SP,
    PROBE_LR,
    BitFit,
    DoRA,
    Exact,
    Full,
    Gradual,
    LinearProbe,
    Loop,
    LoRA,
    Norm,
    ProbeThenFull,
    ProbeThenMix,
    Rates,
    Selection,
    make,
)
from mmtransfer.strategies.probe import FEW, FOLDS


def test_the_probe_takes_the_solver_that_the_task_has():
    (exact,), (loop,) = (LinearProbe(solver).plan(4, 0.1, 3) for solver in ("exact", "loop"))
    assert (exact.solver, exact.epochs, exact.trains) == (Exact(FOLDS, FEW), 0, Selection()) and exact.solver.refit
    assert (loop.solver, loop.epochs, loop.rates.head) == (Loop(3), 3, PROBE_LR)
    assert LinearProbe("exact", prior="names").plan(4, 0.1, 3)[0].solver == Exact(FOLDS, prior=True)
    assert [LinearProbe("exact", folds=n).plan(4, 0.1, 3)[0].solver for n in (0, 3)] == [Exact(), Exact(3)]


@pytest.mark.parametrize(
    ("solver", "n", "validated", "folds"),
    [
        (Exact(5, few=100), 100, False, 5),
        (Exact(5, few=100), 100, True, 0),
        (Exact(5, few=100, refit=False), 100, True, 5),
        (Exact(5, few=100, refit=False), 101, True, 0),
        (Exact(5), 101, True, 5),
        (Exact(), 3, False, 0),
    ],
)
def test_folds_choose_where_examples_are_few_and_validation_data_are_not_the_heads(solver, n, validated, folds):
    assert solver.settled(n, validated) == replace(solver, folds=folds, few=None)
    assert solver.few_enough(n) == (solver.folds > 0 and (solver.few is None or n <= 100))


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
    assert "is solved for, not trained in steps" in caplog.text


def test_lp_ft_keeps_the_validation_data_from_the_head():
    probe, full = ProbeThenFull(solver="exact").plan(3, 0.1, 5)
    assert (probe.solver, full.epochs) == (Exact(FOLDS, FEW, refit=False), 5)
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
    assert probe.solver == Exact(FOLDS, FEW, refit=False)


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


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (LoRA(n=9), "4 stages; 9 of them cannot be trained"),
        (DoRA(n=0), "4 stages; 0 of them cannot be trained"),
        (LoRA(rank=0), "Rank 0 changes nothing"),
        (DoRA(dropout=1.0), "A dropout of 1.0 is no probability below 1"),
        (L2SP(start=-1.0), "A pull of -1.0 pushes"),
        (ProbeThenMix(mixes=0, solver="exact"), "0 mixes leave nothing to choose"),
    ],
)
def test_options_that_mean_nothing_are_refused(strategy, words):
    with pytest.raises(MMTransferError, match=words):
        strategy.plan(4, 0.1, 3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("norm", {"decay": 0.5}, "decay"),
        ("lora", {"start": 0.1}, "start"),
        ("gradual", {"n": 2}, "n"),
        ("lora", {"alpha": -1.0}, "must be more than 0"),
    ],
)
def test_an_option_that_the_strategy_does_not_use_is_refused(name, options, words):
    with pytest.raises(MMTransferError, match=words):
        make(name, options)


def test_an_average_is_of_every_phase_that_trains_by_steps():
    probe, full = planned(resolve(task=TEXT, train="data", strategy="lp-ft", ema=0.99), 4)
    assert (probe.average, full.average) == (None, 0.99)
    assert planned(resolve(task=TEXT, train="data", strategy="lora"), 4)[0].average is None


@pytest.mark.parametrize("epochs", [-1, 0, 3])
def test_a_probe_of_no_epochs_or_of_all_is_refused(epochs):
    with pytest.raises(MMTransferError, match="leave none"):
        ProbeThenFull(solver="loop", head_epochs=epochs).plan(4, 0.1, 3)


@pytest.mark.parametrize("made", [Full(decay=0.5), ProbeThenFull(solver="exact", decay=0.5)])
def test_rates_decay_towards_the_input(made):
    *_, phase = made.plan(3, 0.1, 5)
    assert phase.rates.stages == pytest.approx((0.025, 0.05, 0.1))
    (*_, even) = replace(made, decay=1.0).plan(3, 0.1, 5)
    assert phase.rates.head == even.rates.head and even.rates.stages == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5])
def test_a_decay_that_is_no_share_is_refused(value):
    with pytest.raises(MMTransferError, match=f"more than 0 and at most 1, not {value}"):
        make("full", {"decay": value})


def test_gradual_thaws_from_the_end():
    few, many = Gradual().plan(5, 0.1, 2), Gradual(decay=0.5).plan(2, 0.1, 4)
    assert [phase.trains.stages for phase in few] == [(2, 3, 4), (0, 1, 2, 3, 4)]
    assert [(phase.name, phase.epochs, phase.rates.stages) for phase in many] == [
        ("last-1", 1, (0.1,)),
        ("last-2", 3, (0.05, 0.1)),
    ]
