"""The page of a run: what is on it, that nothing in it is taken for code, how large it is, what it says is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import run_folders

from mmtransfer.config import IMAGE, TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import Score, wilson
from mmtransfer.report import html, report
from mmtransfer.report.sections.base import static

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m",
    "=cmd|' /C calc'!A0",
    "quote \" and ' and &amp; and {{ 7 * 7 }}",
    "line\nbreak",
    "\u202egnp.exe",
]


class Elements(HTMLParser):
    """Elements with their attributes, and the text of scripts that hold data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or "" if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.data[self._open] = json.loads(data)
            self._open = ""


def page_of(run: Path, **given: Any) -> tuple[str, Elements]:
    page = report([run], run / "report.html", **given).read_text()
    return page, Elements(page)


def headings(elements: Elements) -> list[str]:
    return [str(attributes["id"]) for tag, attributes in elements.found if tag == "section"]


def rows(elements: Elements) -> list[list[Any]]:
    return list(elements.data["page-data"]["rows"])


def test_the_sections_stand_in_their_order(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee", "fly"])
    (run / "log.jsonl").write_text("".join(f'{{"step": {n}, "loss": {3 / n}, "lr": {n / 10}}}\n' for n in (1, 2, 3)))
    page, elements = page_of(run)
    wanted = [
        "verdict",
        "examples",
        "confusion",
        "classes",
        "slices",
        "reliability",
        "curves",
        "costs",
        "data",
        "settings",
    ]
    assert headings(elements) == wanted
    right = 200 - len([place for place in elements.data["page-data"]["right"] if not place])
    assert f"Right on {right} of 200 test examples: accuracy {right / 200:.3f}" in page
    assert "with 95 % confidence" in page and "Always answering" in page


@pytest.mark.parametrize("make", ["heard", "tagged", "several", "valued"])
def test_every_kind_of_answer_has_a_page(tmp_path, make):
    run = {
        "heard": lambda: run_folders.heard(tmp_path),
        "tagged": lambda: run_folders.tagged(tmp_path / "run"),
        "several": lambda: run_folders.several(tmp_path / "run"),
        "valued": lambda: run_folders.valued(tmp_path / "run"),
    }[make]()
    page, elements = page_of(run)
    assert {"verdict", "examples", "confusion", "settings"} <= set(headings(elements))
    assert len(rows(elements)) == elements.data["page-data"]["of"] > 20
    if make != "heard":
        assert "The test data cannot be read again: No such file or folder" in page


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (run_folders.heard, "words that were heard, each with the confidence of its recording"),
        (run_folders.tagged, "160 words, as if each stood alone"),
        (run_folders.several, "270 pairs of an example and a label"),
        (run_folders.valued, "A number comes without a confidence"),
        (lambda folder: run_folders.tagged(folder, sure=0), "The run has not stored how sure the model was"),
    ],
    ids=["heard", "tagged", "several", "valued", "older"],
)
def test_how_far_confidence_can_be_believed_is_drawn_or_the_page_says_why_not(tmp_path, make, told):
    page, _ = page_of(make(tmp_path / "run"))
    section = page.split('<section id="reliability"')[1].split("</section>")[0]
    assert told in section and ("<svg" in section) == ("Counted are" in section)


def test_numbers_are_drawn_against_the_truth(tmp_path):
    page, _ = page_of(run_folders.valued(tmp_path / "run"))
    section = page.split('<section id="confusion"')[1].split("</section>")[0]
    assert section.count("<circle") == 90 and "on the dashed line the answer is the truth" in section


def test_transcripts_come_aligned_with_their_recordings(tmp_path):
    page, elements = page_of(run_folders.heard(tmp_path))
    first = next(row for row in rows(elements) if row[0] == "02.wav")
    assert first[1] == [["one"], ["two", "too"], ["three"], ["four"], ["five"], ["", "six"]]
    assert elements.data["page-media"][first[6]].startswith("data:audio/")
    assert len(elements.data["page-media"]) == 24 and "Speaker" in page


def test_nothing_that_a_user_has_given_is_taken_for_code(tmp_path):
    run = run_folders.texts(tmp_path, HOSTILE)
    page, elements = page_of(run)
    names = [name for name, _ in elements.found]
    assert names.count("script") == 3 and "img" not in names
    assert not any(attribute.startswith("on") for _, attributes in elements.found for attribute in attributes)
    assert not set(page) & {"\x1b", "\u202e"} and "49" not in re.findall(r"and (\d+)", page)
    assert set(elements.data["page-data"]["names"]) == {html.text(name) for name in HOSTILE}
    assert "</script" not in re.sub(r"</script>\n", "", page)


def test_the_page_asks_for_nothing_and_runs_its_own_script_alone(tmp_path):
    page, elements = page_of(run_folders.texts(tmp_path, ["a", "b"]))
    policy = next(found["content"] for _, found in elements.found if found.get("http-equiv"))
    assert "default-src 'none'" in policy and "'unsafe-eval'" not in policy and "sha256-" in policy
    links = [value for _, found in elements.found for name, value in found.items() if name in ("src", "href")]
    assert all(value.startswith(("#", "data:")) for value in links)
    assert len(static("page.js")) + len(static("page.css")) + len(page.split("<body>")[0]) < 100_000


def test_the_list_of_many_examples_and_classes_stays_small(tmp_path):
    labels = [f"a class with a longer name {number}" for number in range(1000)]
    ids = [f"some/folder/of/pictures/picture-{number:06d}.jpg" for number in range(10_000)]
    targets = [labels[number % 1000] for number in range(10_000)]
    run = run_folders.classified(tmp_path / "run", IMAGE, labels, ids, targets, stored=False)
    page, elements = page_of(run)
    assert len(rows(elements)) >= 5000 and elements.data["page-data"]["of"] == 10_000
    assert elements.data["page-data"]["right"][:100] == [0] * 100
    assert len(page.encode()) < 2_200_000 and len(json.dumps(elements.data["page-data"])) < 1_000_000
    assert "The worst block: 25 of 1,000 classes" in page


def test_pictures_are_kept_small_and_once(tmp_path):
    run = run_folders.pictures(tmp_path, ["ant", "bee"], 40, size=400)
    page, elements = page_of(run)
    media = elements.data["page-media"]
    assert len(media) == 40 and all(item.startswith("data:image/jpeg") for item in media)
    assert page.count("data:image/jpeg") == 40 and max(map(len, media)) < 120_000
    assert [row[6] for row in rows(elements)] != [-1] * 40


def test_a_page_holds_no_more_media_than_it_may(tmp_path, monkeypatch):
    run = run_folders.pictures(tmp_path, ["ant", "bee"], 40, size=100)
    monkeypatch.setattr(import_module("mmtransfer.report.media"), "LIMIT", 60_000)
    page, elements = page_of(run)
    assert 0 < len(elements.data["page-media"]) < 40 and sum(map(len, elements.data["page-media"])) <= 60_000
    assert f"The page holds {len(elements.data['page-media'])} of 40 pictures" in page


def test_what_is_missing_is_said(tmp_path):
    run = run_folders.pictures(tmp_path, ["ant", "bee"], 40)
    for name in ("ant/0.png", "bee/1.png"):
        (tmp_path / "test" / name).write_bytes(b"broken")
    page, _ = page_of(run)
    assert "2 of the files shown cannot be read, such as" in page
    shutil.move(tmp_path / "test", tmp_path / "moved")
    page, elements = page_of(run)
    assert "The test data cannot be read again: No such file or folder" in page and len(rows(elements)) == 40
    assert elements.data["page-media"] == []
    page, elements = page_of(run, data=str(tmp_path / "moved"))
    assert len(elements.data["page-media"]) == 38


def test_data_that_have_changed_are_told(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    table = tmp_path / "test.csv"
    table.write_text(table.read_text().replace("number 0,ant", "number 0,bee"))
    assert "1 examples have another answer there now" in page_of(run)[0]
    table.write_text("\n".join(table.read_text().splitlines()[:100]) + "\n")
    assert "101 of 200 examples are no longer in the test data" in page_of(run)[0]


def test_a_run_without_predictions_has_a_page(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    shutil.rmtree(run / "predictions")
    page, elements = page_of(run)
    assert "The run has no predictions" in page and "examples" not in headings(elements)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "status": "stopped", "metrics": {}, "primary": None}))
    assert "The run has not finished: its status is stopped" in page_of(run)[0]


def test_predictions_that_cannot_be_read_are_told(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    (run / "predictions" / "test.parquet").write_bytes(b"PAR1")
    assert "test.parquet cannot be read" in page_of(run)[0]


def test_scores_of_small_runs_without_intervals_are_shown(tmp_path):
    columns = {"id": ["a"], "target": ["hello"], "prediction": ["hello"], "substitutions": [0], "deletions": [0]}
    columns |= {"insertions": [0], "words": [1]}
    run = run_folders.write(tmp_path / "run", "speech-recognition", columns, {"wer": Score(0.0, None, None, 1, "one")})
    assert "0 word errors in 1 words of 1 test recordings: word error rate 0.000." in page_of(run)[0]


def test_the_search_of_auto_is_told(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    rungs = [{"steps": 5, "value": 0.5}, {"steps": 15, "value": 0.7}]
    trial = {"backbone": "one", "why": "", "seconds": 1.5, "steps": 15, "state": "finished"}
    trials = [
        {**trial, "number": 0, "way": "linear-probe", "rungs": rungs[:1], "validation": wilson(5, 10).as_dict()},
        {**trial, "number": 1, "way": "full <b>", "rungs": rungs, "validation": wilson(7, 10).as_dict()},
        {**trial, "number": 2, "way": "lora", "rungs": [], "validation": None, "state": "failed", "why": "no memory"},
    ]
    search = {"metric": {"name": "accuracy", "higher_is_better": True}, "seconds": {"budget": 60.0, "spent": 50.0}}
    search |= {"trials": trials, "missing": {"two": "not here"}, "chosen": {"trial": 1}, "note": "A note."}
    (run / "auto.json").write_text(json.dumps(search))
    page, elements = page_of(run)
    assert "search" in headings(elements) and "3 trials in 0.8 of 1.0 minutes" in page
    assert page.index("full &lt;b&gt;") < page.index("linear-probe</td>") < page.index("failed: no memory")
    (run / "auto.json").write_text("{}")
    assert "auto.json cannot be read" in page_of(run)[0]


def test_a_file_that_is_no_page_is_refused_before_anything_is_read(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    for out, what in (
        (tmp_path, "not a folder"),
        (tmp_path / "a.pdf", "not .pdf"),
        (tmp_path / "a", "without a suffix"),
    ):
        with pytest.raises(MMTransferError, match=what):
            report([run], out)
    with pytest.raises(MMTransferError, match="Not a run folder"):
        report([tmp_path])


def test_settings_that_somebody_chose_stand_first(tmp_path):
    run = run_folders.texts(tmp_path, ["ant", "bee"], lr=0.123, epochs=4)
    page, _ = page_of(run)
    chosen, others = page.split("Not at their defaults")[1].split("at their defaults</summary>")
    assert "0.123" in chosen and ">epochs<" not in chosen and ">epochs<" in others


def test_json_in_the_page_cannot_end_its_element():
    written = str(html.embedded({"a": ["</script><!--", "\u2028", "\udc80"]}))
    assert "<" not in written and json.loads(written) == {"a": ["</script><!--", "\u2028", "\udc80"]}


def test_slices_that_stand_out_are_marked(tmp_path):
    n, labels = 400, ["ant", "bee"]
    ids, targets = [str(number) for number in range(n)], [labels[number % 2] for number in range(n)]
    answers = ["ant" if number < 300 else targets[number] for number in range(n)]
    right = sum(a == b for a, b in zip(answers, targets, strict=True))
    columns = {"id": ids, "target": targets, "prediction": answers}
    lines = [f"{' '.join(['word'] * (1 + (number >= 300) * 9))},{target}" for number, target in enumerate(targets)]
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    scores = {"accuracy": wilson(right, n)}
    run = run_folders.write(tmp_path / "run", TEXT, columns, scores, labels, test=str(tmp_path / "test.csv"))
    page, _ = page_of(run)
    words = page.split("<caption>Words")[1].split("<tbody>")[1].split("</tbody>")[0].split("</tr>")
    assert '<th scope="row">1</th>' in words[0] and '<strong class="worse">worse</strong>' in words[0]
    assert '<th scope="row">10</th>' in words[1] and '<strong class="better">better</strong>' in words[1]
