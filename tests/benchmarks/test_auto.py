"""What is measured of searches: the draws, what counts as kept, the pages."""

from __future__ import annotations

import csv

import pytest

from benchmarks import auto, overrun

ROW = {"minutes": 2.0, "cores": 2, "seconds": 121.5, "over": 1.5, "trials": 3, "chosen": "lp-ft", "test": 0.8312}


def test_a_draw_has_as_many_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTRANSFER_DATA", str(tmp_path))
    (tmp_path / "banking77").mkdir()
    with (tmp_path / "banking77" / "train.csv").open("w", newline="") as file:
        rows = [(f"text, {number}", "abc"[number % 3]) for number in range(30)]
        csv.writer(file).writerows([("text", "category"), *rows])
    draws = []
    for draw in (0, 1):
        with auto.drawn(4, draw, tmp_path / "few.csv").open(newline="") as file:
            header, *drawn = csv.reader(file)
        assert header == ["text", "category"] and sorted(label for _, label in drawn) == [*"aaaabbbbcccc"]
        draws.append(drawn)
    assert draws[0] != draws[1]


@pytest.mark.parametrize(
    ("minutes", "over", "kept"), [(0.5, 3.0, True), (0.5, 3.1, False), (10, 12, True), (10, 12.1, False)]
)
def test_a_budget_is_kept_within_seconds_or_a_share(minutes, over, kept):
    assert overrun.kept({"minutes": minutes, "over": over}) is kept


def test_pages(capsys):
    rows = [{"modality": "text", **ROW}, {"modality": "audio", **ROW, "over": 9.0}]
    told = overrun.page(rows)
    assert "1 of 2 runs kept to their budget; the largest overrun was +9.0 s." in told
    assert "| text | 2 | 2 | 121.5 | +1.5 | yes | 3 | lp-ft | 0.8312 |" in told
    rows = [{"row": "5-shots", "draw": draw, "validation": 0.8, **ROW, "test": 0.8 + draw / 10} for draw in (0, 1)]
    told = auto.page(rows)
    assert "| 5-shots | 1 | 2 | 2 | 121.5 | 3 | lp-ft | 0.8000 | 0.9000 |" in told
    assert "5-shots: mean 0.8500 of 2 draws." in told
