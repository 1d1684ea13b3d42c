"""Several runs side by side: on the page, as a table, and in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas
import pytest
import run_folders

import mmtransfer as mmt
from mmtransfer import differing
from mmtransfer.comparison import compare
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError
from mmtransfer.report import exports, report
from mmtransfer.report.sections import many

LABELS = ["ant", "bee", "fly"]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs on the same texts: a good one, one as good, and one that is worse."""
    data = run_folders.texts(tmp_path / "data", LABELS, 300)
    table = {"train": str(data.parent / "train.csv"), "test": str(data.parent / "test.csv")}
    ids, targets = [str(n) for n in range(300)], [LABELS[n % 3] for n in range(300)]
    made = []
    for name, share, seed, changes in (
        ("good", 0.9, 1, {"strategy": "full", "lr": 0.1}),
        ("same", 0.9, 2, {"strategy": "full", "lr": 0.2}),
        ("worse", 0.5, 3, {"strategy": "linear-probe", "lr": 0.1}),
    ):
        result = {
            "seconds": {"total": 10.0 * seed, "train": 5.0},
            "parameters": {"total": 10**6, "trainable": 10**seed},
        }
        made.append(
            run_folders.classified(
                tmp_path / name, TEXT, LABELS, ids, targets, share, seed, result=result, **table, **changes
            )
        )
    return made


def test_a_row_a_configuration_the_best_first(runs):
    frame = compare(runs).to_frame()
    assert frame["accuracy"].tolist() == sorted(frame["accuracy"], reverse=True)
    assert set(frame["name"]) == {"full  lr 0.1", "full  lr 0.2", "linear-probe"}
    worse = frame[frame["run"] == "worse"].iloc[0]
    assert worse["difference"] < 0 and worse["difference_low"] <= worse["difference"] <= worse["difference_high"]
    assert worse["shown"] and worse["p"] < 0.001 and worse["seconds"] == 30
    assert frame["difference"].isna().tolist() == [True, False, False] and not frame["shown"].iloc[1]


def test_in_python_a_comparison_is_a_frame(runs, tmp_path):
    frame, whole = mmt.compare(runs), compare(runs)
    assert isinstance(frame, pandas.DataFrame)
    pandas.testing.assert_frame_equal(pandas.DataFrame(frame), whole.to_frame(), check_flags=False)
    assert frame.iloc[0]["run"] == whole.best.name == frame.attrs["best"] and frame["trainable"].dtype == "int64"
    assert frame.attrs["verdicts"] == [str(verdict) for verdict in whole.verdicts]
    frame.to_parquet(tmp_path / "x.parquet")
    assert pandas.read_parquet(tmp_path / "x.parquet").attrs == frame.attrs
    assert type(frame.head(2)) is pandas.DataFrame and len(mmt.compare(runs, all_pairs=True).attrs["verdicts"]) == 3


@pytest.mark.parametrize(("columns", "last"), [(80, "seconds"), (60, "p")])
def test_a_frame_prints_itself_within_the_terminal(runs, monkeypatch, columns, last):
    monkeypatch.setenv("COLUMNS", str(columns))
    frame = mmt.compare(runs)
    head, *lines = str(frame).splitlines()
    every = ["name", "accuracy", "low", "high", "difference", "p", "seconds"]
    assert head.split() == every[: every.index(last) + 1] and max(map(len, [head, *lines])) <= columns
    for name, value in zip(frame["name"], frame["accuracy"], strict=True):
        assert any(line.startswith(name) and f"{value:.4f}" in line for line in lines)
    assert "p is of the difference to the best; also" in " ".join(str(frame).split()) and "f1_macro" in str(frame)
    del frame["low"]
    assert "low" not in str(frame).splitlines()[0].split()


def test_the_page_tells_verdicts_costs_and_what_decides(runs):
    page = report(runs, runs[0].parent / "all.html").read_text()
    comparison = compare(runs)
    assert many.verdict_of(comparison) in page and "it is shown to be better than 1 of the 2 others" in page
    assert page.index('id="runs"') < page.index('id="cost"') < page.index('id="decided"') < page.index('id="verdict"')
    assert "3 configurations: text-classification" in page and "Verdict on good" in page
    assert page.count("<figure>") >= 2 and "nothing is better at less cost" in page


def test_examples_that_one_gets_right_and_the_other_wrong_are_counted(runs):
    comparison = compare(runs[::2])
    both = [many._right(entry) for entry in comparison.entries]
    page = report(runs[::2], runs[0].parent / "two.html").read_text()
    gained, lost = int((both[0] & ~both[1]).sum()), int((both[1] & ~both[0]).sum())
    assert f"{gained} right in the first alone, {lost} in the second alone" in page
    id = comparison.entries[0].predictions[0]["id"][int((both[0] & ~both[1]).argmax())]
    assert f"number {id}</th>" in page


def test_every_format_holds_the_rows(runs, tmp_path, command):
    for suffix in exports.WRITERS:
        status, printed, said = command("compare", *runs, "--out", tmp_path / f"x{suffix}")
        assert status == 0 and f"the comparison is in {tmp_path}/x{suffix}" in printed, said
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert [row["run"] for row in rows] == compare(runs).to_frame()["run"].tolist()
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["best"] == rows[0]["run"] and content["configurations"][0]["difference"] is None
    assert content["configurations"][2]["accuracy"] == pytest.approx(float(rows[2]["accuracy"]))
    text = (tmp_path / "x.md").read_text()
    assert text.splitlines()[1] == "| --- | --- | --- | ---: | ---: |" and text.count("linear-probe") == 1


def test_a_file_of_no_known_format_is_refused_before_anything_is_read(tmp_path, command):
    for out, what in ((tmp_path, "not a folder"), (tmp_path / "x.pdf", "not .pdf")):
        status, _, said = command("compare", tmp_path / "no", tmp_path / "runs", "--out", out)
        assert status == 2 and what in said
    with pytest.raises(MMTransferError, match="not without a suffix"):
        exports.check(tmp_path / "x")


def test_cells_are_no_formulas(runs, tmp_path):
    moved = runs[0].rename(tmp_path / "=1+1")
    exports.export(compare([moved, runs[1]]), tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert "'=1+1" in [row["run"] for row in rows] and all(not row["name"].startswith("=") for row in rows)


def test_settings_that_are_the_same_for_all_are_not_in_the_names():
    full = {
        "strategy": "full",
        "backbone": "org/one",
        "strategy_options": {"decay": 0.9},
        "epochs": 3,
        "precision": "bf16",
    }
    probe = {**full, "strategy": "linear-probe", "strategy_options": {"solver": "exact"}, "precision": "fp32"}
    assert differing.labels([full, probe], ["a", "b"]) == ["full", "linear-probe"]
    other = {**full, "backbone": "two", "strategy_options": {"decay": 0.5}}
    names = ["full  one", "linear-probe  one", "full  two"]
    assert differing.labels([full, probe, other], ["a", "b", "c"]) == names
    other = {**full, "strategy_options": {"decay": 0.5}}
    assert differing.labels([full, other], ["a", "b"]) == ["decay 0.9", "decay 0.5"]
    many = {**full, **{f"a_long_name_of_a_setting_{number}": number for number in range(3)}}
    assert differing.labels([full, many, probe], ["a", "b", "c"]) == ["full  a", "full  b", "linear-probe  c"]
    assert differing.labels([full, {**full, "precision": "fp32"}], ["a", "b"]) == ["precision bf16", "precision fp32"]
    assert differing.labels([full, full], ["a", "b"]) == ["a", "b"]
