"""The most wrong answers as text, and as a table."""

from __future__ import annotations

import json
import shutil

import pytest
import run_folders

from mmtransfer.report.evidence import gather
from mmtransfer.report.worst import worst


def test_they_are_listed_the_worst_first(tmp_path, command):
    run = run_folders.texts(tmp_path, ["ant", "bee", "fly"])
    rows = worst(gather(run), 5)
    evidence = gather(run)
    answers = evidence.answers
    place = int(answers.order[0])
    assert rows[0].id == evidence.ids[place] and rows[0].input.endswith(f"number {rows[0].id}")
    assert (rows[0].truth, rows[0].answer) == (answers.truths[place], answers.answers[place])
    assert all(row.truth != row.answer for row in rows) and len(rows) == 5
    status, printed, said = command("worst", run, "-n", 5)
    assert status == 0, said
    assert printed.splitlines()[0].endswith("the 5 worst first, by how little was given to the truth")
    assert printed.index(rows[0].input) < printed.index(rows[4].input) and f"truth   {rows[0].truth}" in printed
    status, printed, said = command("worst", run, "-n", 3, "--json")
    assert [one["id"] for one in json.loads(printed)] == [row.id for row in rows[:3]]


def test_recordings_are_told_by_their_paths(tmp_path):
    rows = worst(gather(run_folders.heard(tmp_path)), 100)
    assert len(rows) == 16 and rows[0].input == str(tmp_path / "test" / "00.wav")
    assert (rows[0].truth, rows[0].answer) == ("the cat sat down", "the cat sad")


@pytest.mark.parametrize("make", ["tagged", "several", "valued"])
def test_every_kind_of_answer_is_listed(tmp_path, make, command):
    run = getattr(run_folders, make)(tmp_path / "run")
    status, printed, said = command("worst", run, "-n", 2)
    assert status == 0 and printed.count("truth   ") == 2 and "No such file or folder" in printed, said


def test_escapes_of_terminals_do_nothing(tmp_path, command):
    run = run_folders.texts(tmp_path, ["\x1b[2Jant", "bee\rfly"])
    _, printed, _ = command("worst", run)
    assert "\x1b" not in printed and "\r" not in printed and "\\x1b[2Jant" in printed


def test_what_cannot_be_listed_is_said_in_three_lines(tmp_path, command):
    run = run_folders.texts(tmp_path, ["ant", "bee"])
    status, _, said = command("worst", run, "-n", 0)
    assert status == 2 and "-n must be 1 or more, not 0" in said
    shutil.rmtree(run / "predictions")
    status, _, said = command("worst", run)
    assert status == 2 and "The run has no predictions" in said and len(said.strip().splitlines()) == 3
