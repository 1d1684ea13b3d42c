"""Messages name options as their reader does: as flags on the command line, as arguments in Python."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import mmtransfer as mmt
from mmtransfer.cli import main
from mmtransfer.comparison import compare
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "a table.csv"
    path.write_text("text,label\nred fox,a\nblue sea,b\n")
    return path


def in_python(**settings) -> str:
    with pytest.raises(MMTransferError) as error:
        mmt.fit(task=TEXT, **settings)
    return str(error.value)


def test_fit_speaks_of_its_arguments_and_the_command_line_of_its_flags(table, tmp_path, command):
    out = tmp_path / "out"
    options = {"solver": "exact", "head_epochs": "2"}
    error = in_python(train=table, strategy="lp-ft", strategy_options=options, backbone="builtin", out=out)
    assert "strategy_options={'head_epochs': ...} must be a whole number" in error and "--" not in error, error
    status, _, said = command("fit", TEXT, "--train", table, "--strategy", "lp-ft", "--strategy.lr-ratio", "-1")
    assert status == 2 and "error: --strategy.lr-ratio must be more than 0" in said and "strategy_options" not in said


def test_a_path_is_the_arguments_value(tmp_path, command):
    missing = tmp_path / "not there.csv"
    assert f"where: train={str(missing)!r}\n" in in_python(train=missing, backbone="builtin")
    assert f"where: --train {missing}\n" in command("fit", TEXT, "--train", missing, "--backbone", "builtin")[2]


def test_a_column_that_has_to_be_chosen(tmp_path, command):
    path = tmp_path / "three.csv"
    path.write_text("text,mood,tone\nred fox,a,b\nblue sea,b,a\n")
    assert "label_column=" in in_python(train=path, backbone="builtin")
    assert "--label-column " in command("fit", TEXT, "--train", path, "--backbone", "builtin")[2]


def test_switches_are_true_in_python(table, command):
    error = in_python(train=table, resume=True, overwrite=True, out="x")
    assert "resume=True and overwrite=True exclude each other\n  where: the arguments" in error
    said = command("fit", TEXT, "--train", table, "--resume", "--overwrite", "--out", "x")[2]
    assert "--resume and --overwrite exclude each other\n  where: the command line" in said


def test_commands_are_calls_in_python(tmp_path, command):
    run = tmp_path / "a run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"task": TEXT}))
    with pytest.raises(MMTransferError) as error:
        mmt.load(run)
    assert str(error.value).endswith(f"go on with it: mmtransfer.fit(task={TEXT!r}, resume=True, out={str(run)!r})")
    with pytest.raises(MMTransferError, match="mmtransfer.fit"):
        compare([run, tmp_path])
    assert f"go on with it: mmtransfer fit {TEXT} --resume --out {run}" in command("predict", run, "x")[2]


def written(do: str, where: str = "the settings") -> str:
    """What Python is told of a text, behind its `do`."""
    return str(MMTransferError("what", where, do)).split("do: ", 1)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give --train DATA", "give train=DATA"),
        ("leave them out with --skip-bad, or not", "leave them out with skip_bad=True, or not"),
        ("lower --lr, use --precision fp32, or", "lower lr=, use precision='fp32', or"),
        ("check that --backbone and --weights agree", "check that backbone= and weights= agree"),
        ("give --shots 1 or more; --lr 1e-3.", "give shots=1 or more; lr=1e-3."),
        ("--strategy lp-ft --strategy.n 2", "strategy='lp-ft', strategy_options={'n': 2}"),
        ("give --weights FILE (a .pth) or --weights none", "give weights=FILE (a .pth) or weights='none'"),
        ("--label-separator '|' or --train builtin:...", "label_separator='|' or train='builtin:...'"),
        ("mmtransfer fit TASK --backbone ... --train DATA", "mmtransfer.fit(task=TASK, backbone=..., train=DATA)"),
        ("mmtransfer evaluate RUN --test DATA, or so", "mmtransfer.load(RUN).evaluate(DATA), or so"),
        ("mmtransfer compare A B --all-pairs", "mmtransfer.compare([A, B], all_pairs=True)"),
        ("mmtransfer compare runs/a runs/b", "mmtransfer.compare(['runs/a', 'runs/b'])"),
        ("mmtransfer compare A B --out x", "mmtransfer compare A B --out x"),
        ("mmtransfer fit TASK --config X --out Y, then --out Z", "mmtransfer fit TASK --config X --out Y, then out=Z"),
        ("mmtransfer demo, or --config X", "mmtransfer demo, or --config X"),
        ("pip install --upgrade x; a-b--lr 3, '--lr'", "pip install --upgrade x; a-b--lr 3, '--lr'"),
    ],
)
def test_how_a_text_is_written_in_python(text, expected, command, monkeypatch):
    assert written(text) == expected

    def fail(words: list[str]) -> None:
        raise MMTransferError("what", "--train x", text)

    monkeypatch.setattr("mmtransfer.cli.VERBS", {"fail": fail})
    assert command("fail") == (2, "", f"error: what\n  where: --train x\n  do: {text}\n")
    assert written(text) == expected, "the command line has ended"


def test_every_setting_is_an_argument():
    for name in mmt.RunConfig.__dataclass_fields__:
        flag = "--" + name.replace("_", "-")
        assert f"{name}=" in written(f"change {flag}, please") and flag not in written(f"change {flag}, please")


def test_attributes_keep_flags_and_an_error_survives_a_process():
    error = MMTransferError("--lr is 3", "--lr 3", "give --lr 0.1")
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.where, again.do) == ("--lr is 3", "--lr 3", "give --lr 0.1")
    assert str(again) == str(error) == "lr= is 3\n  where: lr=3\n  do: give lr=0.1"


def test_the_trace_of_debug_speaks_of_flags(tmp_path):
    with pytest.raises(MMTransferError) as error:
        main(["fit", TEXT, "--train", str(tmp_path / "none.csv"), "--backbone", "builtin", "--debug"])
    assert "where: --train " in str(error.value)


def test_no_suggestion_is_made_where_there_is_none(tmp_path, command):
    path = tmp_path / "groups.csv"
    path.write_text("text,label,author\n" + "".join(f"red {n},{'ab'[n % 2]},\n" for n in range(8)))
    groups = ["--group-column", "author", "--test-group", "ann"]
    status, _, said = command("fit", TEXT, "--train", path, "--backbone", "builtin", "--out", tmp_path / "out", *groups)
    assert status == 2 and "Unknown group 'ann'" in said and "did you mean" not in said
    assert "leave it out: there is none to choose from" in said
    for words in (["compare", "a", "b", "--qqq"], ["demo", "--qqq"], ["qqq"], ["fit", TEXT, "--zzzzzzzz"]):
        status, _, said = command(*words)
        assert status == 2 and "Unknown" in said and "did you mean" not in said, words
        assert "known" in said.splitlines()[-1] or "lists the verbs" in said.splitlines()[-1], words
    assert "did you mean" not in in_python(train=path, zzzzzzzz=1)
