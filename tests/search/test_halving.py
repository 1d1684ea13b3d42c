"""How much of a search fits into a budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtransfer.search.halving import FACTOR, LONGER, Cost, plan

costs = st.lists(
    st.builds(Cost, st.floats(0, 5), st.floats(0.1, 60), st.floats(0, 10)),
    min_size=1,
    max_size=14,
)


@given(costs, st.integers(1, 400), st.integers(1, 12), st.floats(1, 5000))
def test_a_plan_keeps_to_its_budget_and_ends_with_whole_schedules(costs, steps, epochs, seconds):
    found = plan(costs, steps, epochs, seconds)
    if found is None:
        assert costs[0].once + costs[0].start + costs[0].epoch > seconds
        return
    assert found.seconds <= seconds and 1 <= found.candidates <= len(costs)
    assert 1 <= found.epochs <= math.ceil(LONGER * epochs)
    assert list(found.shares) == sorted(found.shares) and found.shares[-1] == 1.0
    assert found.epochs >= epochs or found.candidates == 1, "a schedule is made shorter only where nothing else helps"
    more = plan(costs, steps, epochs, 2 * seconds)
    assert more is not None and more.candidates >= found.candidates


def test_a_third_goes_on_for_three_times_as_long():
    found = plan([Cost(1, 9)] * 9, 100, 10, 1000, fixed=True)
    assert found is not None and found.candidates == 9
    assert found.shares == pytest.approx((1 / FACTOR**2, 1 / FACTOR, 1))
    assert [found.kept(rung) for rung in range(3)] == [9, 3, 1]
    # 9 of 10 s, 3 of 20 s, 1 of 60 s, and a second each time that one is begun
    assert found.seconds == pytest.approx(9 * (1 + 10) + 3 * (1 + 20) + (1 + 60))


def test_a_few_candidates_come_first_then_a_longer_schedule_then_more():
    costs = [Cost(0, 10)] * 9
    tried = [plan(costs, 200, 4, seconds) for seconds in (50, 54, 63, 78, 125, 134, 187)]
    found = [(one.candidates, one.epochs) for one in tried if one is not None]
    assert found == [(1, 5), (2, 4), (4, 4), (4, 5), (4, 8), (5, 8), (9, 8)]


def test_training_the_winner_again_is_reckoned_with():
    once, twice = plan([Cost(1, 9)], 100, 4, 1000, True), plan([Cost(1, 9)], 100, 4, 1000, True, again=1.25)
    assert once is not None and twice is not None and twice.seconds - once.seconds == pytest.approx(1 + 1.25 * 36)
    without = plan([Cost(1, 9)], 100, 4, 80, True, again=1.25)
    assert without is not None and (twice.again, without.again) == (1.25, 0.0), "there is no time for it"


def test_a_longer_schedule_is_worth_more_than_a_short_one_twice():
    found = plan([Cost(1, 9)], 100, 4, 35, again=1.0)
    assert found is not None and (found.epochs, found.again) == (3, 0.0)


def test_the_last_epochs_on_all_data_are_reckoned_with():
    found = plan([Cost(1, 9)], 100, 4, 1000, True, wider=1.5)
    assert found is not None and (found.shares, found.joined) == ((0.75,), 1)
    assert found.seconds == pytest.approx((1 + 3 * 9) + (1 + 1.5 * 9))
    stored = plan([Cost(1, 9, once=30, storing=20)], 100, 4, 1000, True, wider=1.5)
    assert stored is not None and stored.seconds == pytest.approx(found.seconds + 30 + 1.5 * 20), "not the head"
    several = plan([Cost(1, 9)] * 9, 100, 6, 1000, True, wider=1.5)
    assert several is not None and several.shares == pytest.approx((1 / 9, 1 / 3, 2 / 3)) and several.joined == 2
    short = plan([Cost(1, 9)], 100, 1, 1000, True, wider=1.5)
    assert short is not None and (short.shares, short.joined) == ((1.0,), 0), "an epoch at least is scored"


def test_rungs_of_a_few_steps_are_left_out():
    found = plan([Cost(0, 1)] * 9, 5, 5, 1000, fixed=True)
    assert found is not None and found.shares == (1.0,)


def test_a_schedule_that_the_user_has_chosen_stays_as_it_is():
    assert plan([Cost(0, 10)], 100, 4, 25).epochs == 2 and plan([Cost(0, 10)], 100, 4, 55).epochs == 5
    assert plan([Cost(0, 10)], 100, 4, 25, fixed=True) is None
    assert plan([Cost(0, 10)], 100, 4, 55, fixed=True).epochs == 4
