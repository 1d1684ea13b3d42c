"""What a page costs: its parts add up, a case is measured, and the table is of the figures beside it, which keep to
what is allowed."""

from __future__ import annotations

import json

import run_folders

from benchmarks import browser, report


def test_the_parts_of_a_page_add_up(tmp_path):
    page = "<style>abc</style>ü<script>de</script>"
    page += '<script type="application/json" id="page-data">[1]</script>'
    page += '<script type="application/json" id="page-media">["data:"]</script>'
    found = report.sizes(page)
    assert (found["code"], found["data"], found["media"]) == (5, 3, 9)
    assert sum(found.values()) == len(page.encode())


def test_a_case_is_measured(tmp_path):
    found = report.measured(lambda folder: [run_folders.heard(folder)], tmp_path / "case", 2)
    assert found["code"] > 10_000 and found["data"] > 100 and found["media"] > 1000 and found["seconds"] > 0
    if browser.command() is not None:
        assert (found["requests"], found["errors"]) == (0, 0) and 0 < found["filter_seconds"] < 60
    assert report.over({**found, "filter_seconds": 0.1}) == []
    assert report.over({**found, "code": 100_001, "errors": 1}) == ["code", "errors"]


def test_what_is_not_known_is_left_out_of_the_table():
    bare = {"markup": 1, "code": 2, "data": 3, "media": 2e7 + 1, "seconds": 1.0, "cpu_seconds": 0.9}
    content = {"machine": {"processor": "one", "chromium": None}, "rounds": 3, "cases": {"a case": bare}}
    page = report.rendered(content)
    assert "| a case | 0 KB | 0 KB | 0 KB | 20,000 KB | 1.0 s, 0.9 of CPU | - | - | - | - |" in page
    assert "More than that: a case: media." in page and "there is none here" in page


def test_the_page_is_of_the_figures_beside_it_and_keeps_to_what_is_allowed():
    content = json.loads(report.RESULTS.read_text())
    assert report.rendered(content) == report.PAGE.read_text()
    assert list(content["cases"]) == list(report.CASES)
    for found in content["cases"].values():
        assert report.over(found) == [] and set(report.TARGETS) <= found.keys()
