"""The page of auto beside a grid."""

from __future__ import annotations

from benchmarks import grid


def row(seed: int, ours: float, whole: float) -> dict[str, object]:
    own = {"seconds": 100.0, "run": "full of builtin, rate 0.1", "test": whole, "best_test": 0.9}
    return {
        "set": "TREC",
        "seed": seed,
        "grid": own,
        "auto": {"seconds": 15.0, "cores": 1, "chosen": "x", "test": ours},
    }


def test_the_page_tells_each_difference_and_their_mean() -> None:
    page = grid.page([row(0, 0.8, 0.82), row(1, 0.83, 0.82)])
    assert "| -0.0200 |" in page and "| +0.0100 |" in page and "Mean of auto - grid: -0.50 points." in page


def test_nothing_measured_has_no_mean() -> None:
    assert "Mean" not in grid.page([])
