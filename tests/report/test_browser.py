"""Pages in a real browser, at the width of a desk and of a phone, light and dark: no error, no request, and fast."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import run_folders

from mmtransfer.config import IMAGE
from mmtransfer.report import report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium: apt-get install chromium")
LOOKED_AT = """
<script>
window.errors = [];
addEventListener("error", (event) => errors.push(String(event.message || event.target.src)), true);
addEventListener("securitypolicyviolation", (event) => errors.push("policy: " + event.violatedDirective));
addEventListener("load", () => setTimeout(() => {
  const found = { errors, requests: performance.getEntriesByType("resource").map((one) => one.name) };
  found.requests = found.requests.filter((name) => !name.startsWith("data:"));
  found.wide = document.documentElement.scrollWidth - innerWidth;
  found.dark = getComputedStyle(document.body).backgroundColor;
  found.cards = document.querySelectorAll("#list > li").length;
  const form = document.getElementById("filter");
  if (form) {
    const begun = performance.now();
    form.elements.which.value = "all";
    form.elements.q.value = "7";
    form.dispatchEvent(new Event("submit", { cancelable: true }));
    found.filtered = performance.now() - begun;
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
  const nameless = [...document.querySelectorAll("img:not([alt]), svg:not([aria-label]), input, select, button")];
  found.nameless = nameless.filter((one) => !one.closest("label") && !one.textContent.trim() && !one.ariaLabel).length;
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}));
</script>
"""
"""Put into a copy of the page, without the policy that would refuse it."""


def looked_at(page: Path, width: int, dark: bool) -> dict:
    """What the browser found on the page."""
    text = page.read_text()
    text, policies = re.subn("script-src &#39;sha256-.*?&#39;", "script-src &#39;unsafe-inline&#39;", text)
    assert policies == 1
    copy = page.with_name(f"looked-at-{width}-{dark}.html")
    copy.write_text(text.replace("<title>", f"{LOOKED_AT}<title>", 1))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    flags += ["--virtual-time-budget=20000", f"--user-data-dir={page.parent / f'browser-{width}-{dark}'}"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    done = subprocess.run(
        [str(BROWSER), *flags, copy.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return dict(json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")))


def test_a_page_of_many_pictures_and_classes(tmp_path):
    labels = [f"class {number}" for number in range(77)]
    ids = [f"{number}.jpg" for number in range(10_000)]
    targets = [labels[number % 77] for number in range(10_000)]
    page = report([run_folders.classified(tmp_path / "run", IMAGE, labels, ids, targets)])
    found = looked_at(page, 1280, dark=False)
    assert (found["errors"], found["requests"], found["nameless"]) == ([], [], 0)
    assert found["wide"] <= 0 and found["cards"] == 24 and found["dark"] == "rgb(255, 255, 255)"
    data = json.loads(page.read_text().split('id="page-data">')[1].split("</script>")[0])
    seen = [f"{row[0]} {data['names'][row[1]]} {data['names'][row[2]]}" for row in data["rows"]]
    assert found["count"] == f"{sum('7' in text for text in seen):,} of 10,000 examples"
    assert found["sorted"] == "ascending"
    assert found["clicked"] != found["count"]


def test_a_page_of_recordings_on_a_phone_in_the_dark(tmp_path):
    found = looked_at(report([run_folders.heard(tmp_path)]), 500, dark=True)
    assert (found["errors"], found["requests"], found["nameless"]) == ([], [], 0)
    assert found["wide"] <= 0 and found["cards"] == 16 and found["dark"] != "rgb(255, 255, 255)"


def test_what_a_user_has_given_does_nothing_in_a_browser(tmp_path):
    labels = ["<script>document.title = 'bad'</script>", "</script><img src=x onerror=errors.push(1)>", "{{ 7 * 7 }}"]
    found = looked_at(report([run_folders.texts(tmp_path, labels)]), 500, dark=False)
    assert (found["errors"], found["requests"]) == ([], []) and found["wide"] <= 0
