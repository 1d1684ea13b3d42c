"""Processes that encode ahead: by the cores that are idle, and by what the loop waited for."""

from __future__ import annotations

import pytest
import torch

from mmtransfer import launcher
from mmtransfer.engine.workers import Workers


@pytest.mark.parametrize(
    ("asked", "cores", "threads", "device", "count", "most"),
    [
        (None, 2, 2, "cpu", 0, 0),
        (None, 16, 4, "cpu", 8, 12),
        (None, 2, 2, "cuda", 1, 1),
        (None, 16, 16, "cuda", 8, 15),
        (0, 16, 4, "cuda", 0, 0),
        (3, 2, 2, "cpu", 3, 3),
    ],
)
def test_their_number_is_that_of_idle_cores_unless_it_is_given(monkeypatch, asked, cores, threads, device, count, most):
    monkeypatch.setattr(launcher, "own_cores", lambda: cores)
    workers = Workers(asked, threads, torch.device(device))
    assert (workers.count, workers.most) == (count, most)


def test_there_are_more_after_an_epoch_that_waited(monkeypatch):
    monkeypatch.setattr(launcher, "own_cores", lambda: 13)
    workers = Workers(None, 13, torch.device("cuda"))
    counts = []
    for stalled in (0.05, 0.5, 0.5):
        workers.heed(stalled)
        counts.append(workers.count)
    assert counts == [8, 12, 12]
