"""What the page of a run costs: its bytes, the seconds to write it, and what a browser makes of it.

    python -m benchmarks.report [NAME ...] [--rounds 3]     # one core: 3 minutes; results/report.json and report.md

The runs are written by hand, without a model (tests/run_folders.py): the predictions are drawn, and no model is asked
about them. The browser is a Chromium without a window; where there is none, its columns say so.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import browser, one_of
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.report import report
from tests import run_folders

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results" / "report.json", HERE / "report.md"
MANY = 10_000
"""Test examples of the large runs."""
TARGETS = {"code": 100_000, "data": 1_000_000, "media": 20_000_000, "filter_seconds": 1.0, "requests": 0, "errors": 0}
"""What a page may cost at most."""
WIDTH, SIDE, KINDS = 1280, 320, 8
SEARCHES = ("7", "class 1", "no such example", "")
"""What is looked for in the list of examples."""
SEARCH = """(async (words) => {
  const form = document.getElementById("filter"), count = document.getElementById("count");
  form.elements.q.value = words;
  const begun = performance.now();
  await new Promise((done) => {
    new MutationObserver(done).observe(count, { childList: true });  // written last, also where nothing is found
    form.elements.q.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - begun;
})"""
"""Milliseconds from a letter that is typed to the list that is painted."""
LOADED = "(() => { const [one] = performance.getEntriesByType('navigation'); return one.loadEventEnd; })()"
TOP = """# What the page of a run costs

`python -m benchmarks.report`, on {machine}. The runs are written by hand, so writing a page does not ask a model about
its worst answers, which takes up to 10 seconds more. Code is script and style, data the list of examples, media
pictures and recordings, markup all else: text, tables, charts. Seconds to write are the median of {rounds}, beside them
those of the CPU, which tell more where a machine has other work. Seconds to load and to filter are told by {chromium},
the latter the slowest of {searches} searches, from the letter to the painted list.

| run | markup | code | data | media | written in | loaded in | filtered in | requests | errors |
|---|---|---|---|---|---|---|---|---|---|"""
BOTTOM = """
Allowed are at most: code {code:,.0f} KB, data {data:,.0f} KB, media {media:,.0f} KB, filtered in {filter:.0f} s, no
request, no error. {met}"""


def pictures(classes: int) -> Callable[[Path], list[Path]]:
    """A run on 10,000 pictures of so many classes."""

    def make(folder: Path) -> list[Path]:
        labels = [f"class {number}" for number in range(classes)]
        targets = [labels[number % classes] for number in range(MANY)]
        ids = [f"{target}/{number:05}.jpg" for number, target in enumerate(targets)]
        kinds = photographs(folder)
        for label in labels:
            (folder / "test" / label).mkdir(parents=True)
        for number, id in enumerate(ids):
            os.link(kinds[number % KINDS], folder / "test" / id)  # one file under many names takes no room
        data = {split: str(folder / "test") for split in ("train", "test")}
        return [run_folders.classified(folder / "run", IMAGE, labels, ids, targets, **data)]

    return make


def photographs(folder: Path) -> list[Path]:
    """Files of a few pictures that are about as large as photographs of their size: coarse noise, made smooth."""
    from PIL import Image

    draw, made = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(KINDS):
        coarse = Image.fromarray(draw.integers(0, 255, (SIDE // 5, SIDE // 5, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        made.append(folder / f"{number}.jpg")
        made[-1].write_bytes(buffer.getvalue())
    return made


def texts(folder: Path) -> list[Path]:
    """A run on 10,000 texts."""
    return [run_folders.texts(folder, [f"class {number}" for number in range(77)], MANY)]


def side_by_side(folder: Path) -> list[Path]:
    """Twelve runs on the same texts, two seeds each of six configurations."""
    data = run_folders.texts(folder / "data", ["ant", "bee", "fly"], 1000).parent
    table = {split: str(data / f"{split}.csv") for split in ("train", "test")}
    labels, made = ["ant", "bee", "fly"], []
    ids, targets = [str(number) for number in range(1000)], [labels[number % 3] for number in range(1000)]
    for number in range(12):
        ways = {"strategy": ("full", "linear-probe", "lora")[number % 3], "lr": (0.1, 0.2)[number % 2]}
        place, share = folder / f"run-{number}", 0.5 + 0.04 * (number % 6)
        given = {**table, **ways, "result": {"seed": number // 6}}
        made.append(run_folders.classified(place, TEXT, labels, ids, targets, share, number, **given))
    return made


CASES: Mapping[str, Callable[[Path], list[Path]]] = {
    "10,000 pictures, 77 classes": pictures(77),
    "10,000 pictures, 1,000 classes": pictures(1000),
    "10,000 texts, 77 classes": texts,
    "200 recordings, transcripts": lambda folder: [run_folders.heard(folder, 200)],
    "10,000 sentences, tags": lambda folder: [run_folders.tagged(folder / "run", MANY)],
    "10,000 texts, several labels": lambda folder: [run_folders.several(folder / "run", MANY)],
    "10,000 texts, numbers": lambda folder: [run_folders.valued(folder / "run", MANY)],
    "12 runs on 1,000 texts": side_by_side,
}


def sizes(page: str) -> dict[str, int]:
    """Bytes of a page's code, data, media and markup, which add up to its own."""

    def bytes_of(pattern: str) -> int:
        return sum(len(part.encode()) for part in re.findall(pattern, page, re.DOTALL))

    found = {
        "code": bytes_of(r"<style>(.*?)</style>") + bytes_of(r"<script>(.*?)</script>"),
        "data": bytes_of(r'<script type="application/json" id="page-data">(.*?)</script>'),
        "media": bytes_of(r'<script type="application/json" id="page-media">(.*?)</script>'),
    }
    return {**found, "markup": len(page.encode()) - sum(found.values())}


def measured(make: Callable[[Path], list[Path]], folder: Path, rounds: int) -> dict[str, Any]:
    """All figures of one case."""
    runs, page = make(folder), folder / "page.html"
    clocks, passed = (time.perf_counter, time.process_time), []
    for _ in range(rounds):
        begun = [clock() for clock in clocks]
        report(runs, page)
        passed.append([clock() - start for clock, start in zip(clocks, begun, strict=True)])
    seconds, cpu_seconds = map(statistics.median, zip(*passed, strict=True))
    return {**sizes(page.read_text()), "seconds": seconds, "cpu_seconds": cpu_seconds, **looked_at(page)}


def looked_at(page: Path) -> dict[str, Any]:
    """What a browser tells of a page; nothing where there is none."""
    if browser.command() is None:
        return {}
    with browser.Browser() as chromium:
        seen = chromium.visit(page, WIDTH)
        loaded = chromium.ask(LOADED) / 1000
        filtered = max(chromium.ask(f"{SEARCH}({json.dumps(words)})") for words in SEARCHES) / 1000
        told = {"load_seconds": loaded, "filter_seconds": filtered}
        return {**told, "requests": len(seen.requests), "errors": len(seen.errors)}


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    from mmtransfer.run import processor

    if browser.command() is None:
        return {"processor": processor(), "chromium": None}
    with browser.Browser() as chromium:
        return {"processor": processor(), "chromium": chromium.call("Browser.getVersion")["product"]}


def over(found: Mapping[str, Any]) -> list[str]:
    """The figures of a case that are more than is allowed."""
    return [name for name, most in TARGETS.items() if name in found and found[name] > most]


def rendered(content: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    about = content["machine"]
    chromium = about["chromium"] or "no browser, for there is none here"
    lines = [
        TOP.format(machine=about["processor"], rounds=content["rounds"], chromium=chromium, searches=len(SEARCHES))
    ]
    for name, found in content["cases"].items():
        kilobytes = [f"{found[part] / 1000:,.0f} KB" for part in ("markup", "code", "data", "media")]
        seconds = [f"{found[part]:.2f} s" if part in found else "-" for part in ("load_seconds", "filter_seconds")]
        counts = [str(found.get(part, "-")) for part in ("requests", "errors")]
        written = f"{found['seconds']:.1f} s, {found['cpu_seconds']:.1f} of CPU"
        cells = [name, *kilobytes, written, *seconds, *counts]
        lines.append(f"| {' | '.join(cells)} |")
    broken = [f"{name}: {', '.join(over(found))}" for name, found in content["cases"].items() if over(found)]
    met = f"More than that: {'; '.join(broken)}." if broken else "Every page keeps to that."
    most = {name: TARGETS[name] / 1000 for name in ("code", "data", "media")}
    return "\n".join([*lines, BOTTOM.format(**most, filter=TARGETS["filter_seconds"], met=met), ""])


def main() -> None:
    """Measures, and writes figures and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", type=one_of(CASES), help="cases; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    content: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
    content |= {"machine": machine(), "rounds": said.rounds}
    for name in said.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            content["cases"][name] = measured(CASES[name], Path(folder) / "case", said.rounds)
        print(name, {key: round(value, 3) for key, value in content["cases"][name].items()}, flush=True)
        content["cases"] = {name: content["cases"][name] for name in CASES if name in content["cases"]}
        RESULTS.write_text(json.dumps(content, indent=2) + "\n")
        PAGE.write_text(rendered(content))


if __name__ == "__main__":
    main()
