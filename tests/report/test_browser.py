"""Pages in a real browser, at the width of a desk and of a phone, light and dark: no error, no request, nothing beyond
the edge, and what can be clicked does something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import run_folders

from benchmarks import browser
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.metrics import wilson
from mmtransfer.report import report

pytestmark = pytest.mark.skipif(browser.command() is None, reason="there is no Chromium: apt-get install chromium")
LABELS = ["ant", "bee", "fly"]
LOOKS = [(width, dark) for width in (360, 1280) for dark in (False, True)]
LOOK = """(() => {
  const root = document.documentElement, form = document.getElementById("filter"), found = {};
  found.wide = root.scrollWidth - root.clientWidth;
  found.back = getComputedStyle(document.body).backgroundColor;
  found.cards = document.querySelectorAll("#list > li").length;
  const named = [...document.querySelectorAll("img:not([alt]), svg:not([aria-label]), input, select, button")];
  found.nameless = named.filter((one) => !one.closest("label") && !one.textContent.trim() && !one.ariaLabel).length;
  found.titles = [...document.querySelectorAll("h2")].map((one) => one.textContent);
  found.players = document.querySelectorAll("audio").length;
  if (form) {
    if (form.elements.which) form.elements.which.value = "all";
    form.elements.q.value = "7";
    form.dispatchEvent(new Event("submit", { cancelable: true }));
    found.count = document.getElementById("count").textContent;
  }
  const cell = document.querySelector("[data-t][data-p]");
  if (cell) {
    cell.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    found.clicked = document.getElementById("count").textContent;
  }
  const head = document.querySelector("table.sortable thead button");
  if (head) {
    head.click();
    found.sorted = head.closest("th").getAttribute("aria-sort");
  }
  found.reached = root.scrollWidth - root.clientWidth;
  return found;
})()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    """One for all pages: it takes seconds to start."""
    with browser.Browser() as started:
        yield started


def searched(folder: Path) -> Path:
    """A run that a search has made."""
    run = run_folders.texts(folder, LABELS)
    trial = {"backbone": "a/backbone-with-a-long-name", "why": "", "seconds": 1.5, "steps": 15, "state": "finished"}
    trials: list[dict[str, Any]] = [
        {
            **trial,
            "number": number,
            "way": f"full, lr {number}e-4",
            "rungs": [{"steps": 5 * rung, "value": 0.4 + 0.04 * number + 0.05 * rung} for rung in (1, 2, 3)],
            "validation": wilson(4 + number, 10).as_dict(),
        }
        for number in range(6)
    ]
    search = {"metric": {"name": "accuracy", "higher_is_better": True}, "seconds": {"budget": 60.0, "spent": 50.0}}
    search |= {"trials": trials, "missing": {"two": "not here"}, "chosen": {"trial": 5}, "note": "A note."}
    (run / "auto.json").write_text(json.dumps(search))
    return run


def side_by_side(folder: Path) -> list[Path]:
    """Many runs on the same texts."""
    data = run_folders.texts(folder / "data", LABELS, 300).parent
    table = {split: str(data / f"{split}.csv") for split in ("train", "test")}
    ids, targets = [str(number) for number in range(300)], [LABELS[number % 3] for number in range(300)]
    made = []
    for number in range(12):
        ways = {"strategy": ("full", "linear-probe", "lora")[number % 3], "lr": 0.1 * (1 + number // 3)}
        cost = {"seconds": {"total": 10.0 + number, "train": 5.0}}
        cost["parameters"] = {"total": 10**6, "trainable": 10 ** (1 + number % 6)}
        given = {**table, **ways, "result": cost}
        place = folder / f"run-{number}"
        made.append(run_folders.classified(place, TEXT, LABELS, ids, targets, 0.4 + 0.04 * number, number, **given))
    return made


Makers = dict[str, tuple[Callable[[Path], Any], str]]
PAGES: Makers = {
    "texts": (lambda folder: run_folders.texts(folder, LABELS), "Each class"),
    "pictures": (lambda folder: run_folders.pictures(folder, LABELS, 40), "Each class"),
    "recordings": (run_folders.heard, "Parts of the data"),
    "tags": (lambda folder: run_folders.tagged(folder / "run"), "Each type"),
    "several labels": (lambda folder: run_folders.several(folder / "run"), "Each label"),
    "numbers": (lambda folder: run_folders.valued(folder / "run"), "Answers and truths"),
    "a search": (searched, "The search"),
    "many runs": (side_by_side, "Configurations side by side"),
}
"""By name what makes the run, or runs, of a page, and a heading of it."""


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_of_every_kind_in_all_looks(chromium, tmp_path, kind):
    make, heading = PAGES[kind]
    made = make(tmp_path)
    page = report(made if isinstance(made, list) else [made], tmp_path / "report.html")
    for width, dark in LOOKS:
        seen = chromium.visit(page, width, dark=dark)
        found = chromium.ask(LOOK)
        assert (seen.errors, seen.requests, found["nameless"]) == ([], [], 0), (width, dark)
        assert (found["wide"], found["reached"]) == (0, 0), (width, dark)
        assert found["back"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
        assert heading in found["titles"] and found["cards"] > 10
        assert found.get("sorted", "ascending") == "ascending" and "examples" in found["count"]
        assert found["players"] == (found["cards"] if kind == "recordings" else 0)


def test_a_page_of_many_pictures_and_classes(chromium, tmp_path):
    labels = [f"class {number}" for number in range(77)]
    ids = [f"{number}.jpg" for number in range(10_000)]
    targets = [labels[number % 77] for number in range(10_000)]
    page = report([run_folders.classified(tmp_path / "run", IMAGE, labels, ids, targets)])
    seen = chromium.visit(page)
    found = chromium.ask(LOOK)
    assert (seen.errors, seen.requests, found["nameless"]) == ([], [], 0)
    assert found["wide"] == 0 and found["cards"] == 24
    data = json.loads(page.read_text().split('id="page-data">')[1].split("</script>")[0])
    texts = [f"{row[0]} {data['names'][row[1]]} {data['names'][row[2]]}" for row in data["rows"]]
    assert found["count"] == f"{sum('7' in text for text in texts):,} of 10,000 examples"
    assert found["sorted"] == "ascending"
    assert found["clicked"] != found["count"]


def test_what_a_user_has_given_does_nothing_in_a_browser(chromium, tmp_path):
    labels = ["<script>document.title = 'bad'</script>", "</script><img src=x onerror=alert(1)>", "{{ 7 * 7 }}"]
    seen = chromium.visit(report([run_folders.texts(tmp_path, labels)]), 360)
    assert (seen.errors, seen.requests, chromium.ask(LOOK)["wide"]) == ([], [], 0)
    assert chromium.ask("document.title") != "bad"


def test_what_a_page_does_wrong_is_seen(chromium, tmp_path):
    script = "console.error('no'); fetch('http://localhost:1/x').catch(() => 0); throw new Error('oh')"
    (tmp_path / "bad.html").write_text(f"<body style='width: 2000px'><script>{script}</script>")
    seen = chromium.visit(tmp_path / "bad.html")
    assert "no" in seen.errors and any("oh" in error for error in seen.errors)
    assert seen.requests == ["http://localhost:1/x"]
    assert chromium.ask("document.documentElement.scrollWidth") > 1900
