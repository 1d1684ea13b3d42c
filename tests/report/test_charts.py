"""Charts: names of dots that would lie on each other, and how wide a matrix is."""

from __future__ import annotations

import re

from mmtransfer.report import charts


def test_a_name_that_would_lie_on_an_earlier_one_is_left_out():
    axis = charts.Axis("x", 0.0, 1.0)
    plot = charts.Plot(axis, axis, "a test")
    plot.label(0.5, 0.5, "the first")
    plot.label(0.51, 0.51, "on it")
    plot.label(0.5, 0.9, "above")
    plot.label(0.5, 0.5, "to the left", "end")
    drawn = str(plot.svg())
    assert all(name in drawn for name in ("the first", "above", "to the left")) and "on it" not in drawn


def test_a_matrix_is_as_wide_as_it_says():
    for classes in (3, 25, 60):
        names = [f"class {number}" for number in range(classes)]
        drawn = str(charts.heat(names, [(0, 1, 5)], [9] * classes, "a test"))
        found = re.search(r'viewBox="0 0 (\d+) \d+" width="([\d.]+)"', drawn)
        assert found and float(found[2]) == int(found[1]) == charts.wide(classes)
        columns = [float(x) for x in re.findall(r'transform="rotate\(-60 ([\d.]+)', drawn)]
        assert len(columns) == classes and max(columns) < charts.wide(classes)
