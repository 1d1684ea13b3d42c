"""The suite's rows are settings that `fit` takes; its table finds its place in the README."""

from __future__ import annotations

import json

import pytest

from benchmarks import suite
from mmtransfer.cli.flags import parse

ROWS = json.loads((suite.HERE / "rows.json").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_rows_command_parses(row):
    transfer, *scratch = suite._command(row).split("`; `")
    words = transfer.split()
    given = parse(words[2], [*words[3:], *" ".join(scratch).split()], {}, "mmtransfer fit")
    assert given["task"] == row["settings"]["task"]


def test_names_are_given_once_and_runs_apart():
    outs = [settings["out"] for row in ROWS for *_, settings in suite.variants(row)]
    assert len(set(outs)) == len(outs)


def test_a_table_replaces_what_stands_between_its_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- table: few -->\nold\n<!-- end -->\nb\n")
    suite.into_readme("few", "# title\n\n| x |\n|---|\n| 1 |\n", readme)
    assert readme.read_text() == "a\n<!-- table: few -->\n\n| x |\n|---|\n| 1 |\n\n<!-- end -->\nb\n"
    suite.into_readme("wide", "| y |\n", readme)
    assert "| y |" not in readme.read_text()


def test_a_row_without_runs_keeps_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = next(row for row in ROWS if row["tier"] == "wide")
    cells = f"| {row['data']} | {row['backbone']} | {row['settings']['strategy']} | kept |"
    page = suite.render("wide", f"| data |\n|---|\n| a task {cells}\n")
    assert [line for line in page.splitlines() if line.startswith("| a task")] == [f"| a task {cells}"]
    assert page.count("mmtransfer fit") == 1, "rows without a line are not told"
