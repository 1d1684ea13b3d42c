"""What is tried on a backbone."""

from __future__ import annotations

import pytest

from mmtransfer.config import SPEECH, TASKS, TEXT
from mmtransfer.resolution import planned, resolve
from mmtransfer.search.space import LONGEST, SPACE, epochs_of, rate_of


@pytest.mark.parametrize("task", TASKS)
def test_every_way_is_one_that_fit_knows(task):
    names = [way.name for way in SPACE[task]]
    assert len(names) == len(set(names)) >= 6
    for way in SPACE[task]:
        settings = {"strategy": way.strategy, "strategy_options": dict(way.options), **way.settings}
        config = resolve(task=task, train="x", backbone="builtin", epochs=8, **settings)
        assert planned(config, 6)[-1].epochs > 0


def test_small_networks_get_higher_rates_and_few_examples_more_epochs():
    assert rate_of(TEXT, 110_000_000) == 5e-5 and rate_of(TEXT, 22_600_000) == pytest.approx(1e-4, rel=0.05)
    assert rate_of(TEXT, 100) == 5e-4, "there is a limit"
    assert epochs_of(TEXT, 9003, 32) == 4 and epochs_of(TEXT, 640, 32) == 15 and epochs_of(TEXT, 10, 32) == LONGEST
    assert epochs_of(SPEECH, 9003, 32) == 20
