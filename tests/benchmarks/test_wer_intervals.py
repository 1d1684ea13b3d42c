"""The simulation of intervals: sums, draws, and that it tells a good interval from a bad one."""

from __future__ import annotations

import numpy as np

from benchmarks import wer_intervals


def test_sums_are_by_speaker():
    who, words = np.array([[0, 1, 0], [2, 2, 2]]), np.array([[1, 2, 3], [4, 5, 6]])
    assert wer_intervals.summed(words, who, 3).tolist() == [[4, 2, 0], [0, 0, 15]]


def test_speakers_differ_as_much_as_asked():
    for spread in wer_intervals.SPREADS:
        who, words, edits = wer_intervals.drawn(50, spread, 40, np.random.default_rng(0))
        own = [wer_intervals.summed(values, who, 50) for values in (edits, words)]
        assert abs(edits.sum() / words.sum() - wer_intervals.TRUE) < 0.01
        noise = wer_intervals.TRUE * (1 - wer_intervals.TRUE) / own[1].mean()
        differing = max(0.0, float((own[0] / np.maximum(1, own[1])).var()) - noise) ** 0.5
        assert abs(differing - spread * wer_intervals.TRUE) < 0.02


def test_only_intervals_that_know_of_speakers_cover():
    row = wer_intervals.measured(10, 0.5, simulations=400)
    covered = row["covered"]
    assert covered["speaker jackknife"] > 0.92 > 0.8 > covered["recording bootstrap"]
    assert covered["speaker jackknife"] > covered["speaker bootstrap"] > covered["recording bootstrap"]
    alike = wer_intervals.measured(30, 0.0, simulations=400)["covered"]
    assert all(0.9 < share < 0.99 for share in alike.values())
    page = wer_intervals.table([row])
    assert "| 10 | 0.5 |" in page and page.count("\n") == 2
