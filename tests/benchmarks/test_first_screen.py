"""The README's chart: what the peers are given, and what the page says of what was measured."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.first_screen import page, peers
from benchmarks.first_screen.contestants import CONTESTANTS, OURS


def test_each_round_every_sentence_has_a_partner_of_its_class_and_one_of_another():
    labels = ["a", "a", "b", "b", "c", "c", "c"]
    pairs = peers.drawn_pairs(labels, 3)
    assert len(pairs) == 2 * 3 * len(labels) and all(one != other for one, other in pairs)
    alike = Counter(one for one, other in pairs if labels[one] == labels[other])
    apart = Counter(one for one, other in pairs if labels[one] != labels[other])
    assert set(alike.values()) == set(apart.values()) == {3} and len(alike) == len(apart) == len(labels)


def test_the_page_has_the_fastest_first_with_intervals_and_names_what_is_missing():
    runs = {
        "loop-3": {"cpu_seconds": 90.0, "seconds": 95.0, "right": 1540, "of": 3080, "rate": 5e-4, "machine": "1 core"},
        "probe": {"cpu_seconds": 20.0, "seconds": 21.0, "right": 2464, "of": 3080, "rate": None, "machine": "1 core"},
    }
    text = page.page({"rates": {"0.0005": 0.75}, "runs": runs})
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "(0." in line]
    assert [row[0].strip("| ") for row in rows] == [OURS, "plain loop"]
    assert rows[0][2:] == ["default", "20", "21", "0.8000 (0.7855 to 0.8137) |"]
    (missing,) = [part for part in text.split("\n\n") if part.startswith("Not measured yet")]
    assert "full" in missing and "linear-probe" not in missing and "| 0.0005 | 0.750 |" in text


@pytest.mark.parametrize("some", [list(CONTESTANTS), ["probe"]], ids=["all", "one"])
def test_the_chart_is_drawn_of_all_and_of_one(some, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the chart is drawn with the extra `benchmarks`")
    monkeypatch.setattr(page, "CHART", tmp_path / "chart.png")
    runs = {name: {"cpu_seconds": 20.0 + place, "right": 5, "of": 10} for place, name in enumerate(some)}
    page.draw(runs)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
