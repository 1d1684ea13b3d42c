"""The plan: everybody once, budgets kept, the same for every number of processes, a pure function of its inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtransfer.data.plan import POOL_STEPS, Plan, cut, evaluation_batches, padding_share

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=200).map(lambda values: np.array(values, np.int32))


@given(lengths, st.integers(1, 16), st.integers(1, 200), st.integers(0, 3), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_example_is_in_exactly_one_micro_batch(lengths, batch_size, budget, seed, epoch):
    steps = Plan(lengths, batch_size, budget, seed).epoch(epoch)
    micro = [batch for step in range(len(steps)) for batch in steps.micro_batches(step)]
    assert sorted(np.concatenate(micro).tolist()) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // batch_size)
    for batch in micro:
        assert len(batch) == 1 or int(lengths[batch].max()) * len(batch) <= budget


@given(lengths, st.integers(1, 16), st.integers(1, 200), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_shares_are_even_and_cover_the_step_once(lengths, batch_size, budget, processes):
    steps = Plan(lengths, batch_size, budget, 0).epoch(0)
    for step in range(len(steps)):
        shares = [steps.share(step, rank, processes) for rank in range(processes)]
        assert len({len(share) for share in shares}) == 1
        counted = [batch for share in shares for batch, counts in share if counts]
        assert sorted(np.concatenate(counted).tolist()) == sorted(steps.examples(step).tolist())
        for share in shares:
            for batch, counts in share:
                assert counts or lengths[batch[0]] == lengths[steps.examples(step)].min()
                assert counts or all(len(batch) == 1 for batch in counted)


@pytest.mark.parametrize("processes", [2, 3, 4, 8])
@pytest.mark.parametrize("sizes", [np.ones(96, np.int32), np.arange(40, 136, dtype=np.int32)], ids=["fixed", "ragged"])
def test_the_work_of_a_step_that_fits_one_process_is_dealt_to_all(sizes, processes):
    steps = Plan(sizes, 32, 10**6, 0).epoch(0)
    assert [len(batch) for batch in steps.micro_batches(0)] == [32]
    counts = [sum(len(batch) for batch, _ in steps.share(0, rank, processes)) for rank in range(processes)]
    assert sum(counts) == 32 and min(counts) >= 32 // processes // 2
    assert max(counts) - min(counts) <= (1 if len(set(sizes.tolist())) == 1 or processes != 3 else 8)


def test_a_lone_last_example_of_a_fixed_size_joins_the_step_before():
    steps = Plan(np.ones(65, np.int32), 32, 32, 0).epoch(1)
    assert len(steps) == 2 and [len(batch) for batch in steps.micro_batches(1)] == [17, 16]
    assert sorted(np.concatenate([steps.examples(step) for step in range(2)]).tolist()) == list(range(65))
    assert len(Plan(np.ones(66, np.int32), 32, 32, 0).epoch(0)) == 3
    assert len(Plan(np.ones(1, np.int32), 32, 32, 0).epoch(0)) == 1
    assert len(Plan(np.arange(1, 66, dtype=np.int32), 32, 320, 0).epoch(0)) == 3


def test_epochs_differ_and_repeat():
    plan = Plan(np.arange(1, 101, dtype=np.int32), 8, 400, 7)
    first, again, other = plan.epoch(3), plan.epoch(3), plan.epoch(4)
    assert np.array_equal(first.order, again.order) and np.array_equal(first.steps, again.steps)
    assert not np.array_equal(first.steps, other.steps)
    assert not np.array_equal(first.steps, Plan(plan.lengths, 8, 400, 8).epoch(3).steps)


def test_batches_from_a_later_step_are_the_batches_that_were_left():
    steps = Plan(np.random.default_rng(0).integers(1, 40, 90).astype(np.int32), 8, 100, 0).epoch(0)
    skipped = sum(len(steps.micro_batches(step)) for step in range(5))
    assert list(steps.batches(5, 0, 1)) == list(steps.batches(0, 0, 1))[skipped:]


def test_sorting_saves_padding_and_fixed_sizes_are_not_sorted():
    lengths = np.random.default_rng(0).integers(1, 60, 2000).astype(np.int32)
    plan = Plan(lengths, 32, 32 * 60, 0)
    steps = plan.epoch(0)
    planned = [batch for step in range(len(steps)) for batch in steps.micro_batches(step)]
    plain = np.random.default_rng(1).permutation(2000).astype(np.int32)
    assert (
        padding_share(lengths, planned) < 0.1 < padding_share(lengths, [plain[i : i + 32] for i in range(0, 2000, 32)])
    )
    fixed = Plan(np.ones(2000, np.int32), 32, 8, 0).epoch(0)
    assert sorted(fixed.steps.tolist()) == fixed.steps.tolist()
    assert [len(batch) for batch in fixed.micro_batches(0)] == [8, 8, 8, 8]


def test_a_pool_is_many_steps_of_mixed_lengths():
    lengths = np.random.default_rng(0).integers(1, 60, 32 * POOL_STEPS * 2).astype(np.int32)
    steps = Plan(lengths, 32, 10**6, 0).epoch(0)
    longest = [int(lengths[steps.examples(step)].max()) for step in range(POOL_STEPS)]
    assert longest != sorted(longest)


def test_an_example_over_the_budget_stands_alone():
    lengths = np.array([3, 4, 90, 5], np.int32)
    batches = cut(np.array([0, 1, 3, 2], np.int32), lengths, 20)
    assert [batch.tolist() for batch in batches] == [[0, 1, 3], [2]]


def test_halving_changes_the_cut_and_not_the_steps():
    plan = Plan(np.full(64, 4, np.int32), 16, 64, 0)
    whole, halved = plan.epoch(0), plan.halved().epoch(0)
    assert np.array_equal(whole.examples(0), halved.examples(0))
    assert len(halved.micro_batches(0)) == 2 * len(whole.micro_batches(0))


def test_evaluation_is_longest_first_and_complete():
    lengths = np.random.default_rng(0).integers(1, 60, 300).astype(np.int32)
    batches = evaluation_batches(lengths, 256, 16)
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    assert lengths[batches[0]].max() == lengths.max()
    assert all(len(batch) <= 16 for batch in batches)
    assert evaluation_batches(np.zeros(0, np.int32), 256, 16) == []


def test_places_are_drawn_by_share():
    shares = np.r_[np.full(90, 0.5 / 90), np.full(10, 0.05)]
    plan = Plan(np.ones(100, np.int32), 10, 10, 0, shares)
    drawn = np.concatenate([plan.epoch(epoch).examples(step) for epoch in range(20) for step in range(10)])
    assert 0.45 < np.mean(drawn >= 90) < 0.55 and len(drawn) == 2000
    assert np.array_equal(plan.epoch(3).order, plan.epoch(3).order)
    assert not np.array_equal(plan.epoch(3).order, plan.epoch(4).order)
