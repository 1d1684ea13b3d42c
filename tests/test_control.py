"""Transfer beside scratch on built-in data: the recipes without arguments, the demo, and what cannot be a control."""

from __future__ import annotations

import json
import re
import runpy
import socket
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import BERT

import mmtransfer as mmt
from mmtransfer import backbones, cli, comparison, control, demo
from mmtransfer.backbones import builtin, pretrained
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.defaults import BUILTIN, OWN_DATA, Builtin
from mmtransfer.errors import MMTransferError

GIVEN = {"task": TEXT, "train": "builtin"}
TINY = {"train": "builtin:library", "validation_fraction": 0.2, "epochs": 1, "max_length": 16, "batch_size": 64}


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A built-in text backbone of two small layers, one task with built-in data, no network."""
    from transformers import BertTokenizerFast

    monkeypatch.setattr(builtin, "FOLDER", tmp_path / "builtin")
    monkeypatch.setitem(
        BUILTIN, TEXT, Builtin(data=TINY, model={"backbone": "builtin", "lr": 1e-3}, scratch={"lr": 3e-3})
    )  # type: ignore[index]
    monkeypatch.setattr("mmtransfer.demo.DEMO", (TEXT,))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    pieces += [f"##{letter}" for letter in string.ascii_lowercase]
    backbone = pretrained.build({"model_type": "bert", **BERT})
    backbone.tokenizer = BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)})
    builtin.pack(backbone, "text", "# card\n")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def test_on_built_in_data_a_run_is_put_beside_scratch(tiny, capsys):
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "run"])
    run, control = settings(tiny / "run"), settings(tiny / "run-scratch")
    assert run["backbone"] == "builtin" and run["weights"] is None and run["lr"] == 1e-3
    differs = {name for name in run if run[name] != control[name]}
    assert differs == {"strategy", "strategy_options", "weights", "lr", "out"}
    assert control["strategy"] == "scratch" and control["weights"] == "none" and control["lr"] == 3e-3
    out = capsys.readouterr().out
    assert re.search(r"run and run-scratch: accuracy|is better than", out) and "95 % interval" in out
    assert "the verdict is by accuracy: a p below 0.05\n" in out and "each of one difference, not adjusted" in out
    assert "the run is in run" in out and "run-scratch" in out
    assert f"next, with your own data: mmtransfer fit {TEXT} {OWN_DATA[TEXT]} --backbone builtin" in out


@pytest.mark.parametrize("task", [IMAGE, TEXT, SPEECH])
def test_fit_without_data_names_what_there_is_to_try(command, task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, printed, said = command("fit", task)
    assert status == 2 and not printed and "mmtransfer demo" in said
    assert f"--train {BUILTIN[task].data['train']}" in said and "builtin:" in said
    with pytest.raises(MMTransferError, match="There is no training data"):
        mmt.fit(task=task)
    with pytest.raises(MMTransferError, match="There is no training data"):
        mmt.repeat(task=task)
    with pytest.raises(MMTransferError, match="There is no training data"):
        mmt.fit()
    assert not list(tmp_path.iterdir())


def test_a_recipe_without_data_says_first_what_it_will_do(tiny, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["text_cls.py", "--out", "run"])
    runpy.run_path(str(Path(__file__).parent.parent / "recipes" / "text_cls.py"), run_name="__main__")
    first = capsys.readouterr().err.splitlines()[0]
    assert "builtin:library" in first and "random weights" in first and "minute" in first and "2 cores" in first
    run, control = settings(tiny / "run"), settings(tiny / "run-scratch")
    assert run["train"] == control["train"] == "builtin:library" and run["lr"] == 1e-3 and control["lr"] == 3e-3


def test_a_cache_that_was_asked_for_is_not_asked_of_the_control(tiny, capsys):
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "run", "--strategy", "linear-probe", "--cache", "on"])
    assert settings(tiny / "run")["cache"] == "on" and settings(tiny / "run-scratch")["cache"] == "auto"


def test_a_probe_that_is_compared_without_test_data_is_scored_on_the_validation_data_of_its_control():
    given = {"task": TEXT, "train": "data.csv", "strategy": "linear-probe", "backbone": "builtin"}
    assert control.comparable(given)["strategy_options"] == {"folds": 0}
    named = control.comparable({**given, "strategy_options": {"prior": "names"}})
    assert named["strategy_options"] == {"prior": "names", "folds": 0}
    for kept in (
        {**given, "test": "test.csv"},
        {**given, "train": "builtin:library"},
        {**given, "strategy": "full"},
        {**given, "strategy_options": {"folds": 3}},
        {**given, "strategy_options": {"solver": "loop"}},
    ):
        assert control.comparable(kept) == kept


def test_the_control_can_be_left_out(tiny, capsys):
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "run", "--no-versus-scratch"])
    assert not (tiny / "run-scratch").exists() and "next, with your own data" in capsys.readouterr().out
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "other", "--strategy", "scratch"])
    assert not (tiny / "other-scratch").exists() and settings(tiny / "other")["lr"] == 3e-3


def test_the_demo_runs_every_task_and_prints_one_table(tiny, capsys):
    found = demo.demo("runs/demo")
    assert [comparison.task for comparison in found] == [TEXT]
    assert {path.name for path in (tiny / "runs" / "demo").iterdir() if path.is_dir()} >= {TEXT, f"{TEXT}-scratch"}
    out = capsys.readouterr().out
    for expected in ("difference", "library", "the runs are in runs/demo", "--versus-scratch"):
        assert expected in out, expected
    verdict = found[0].verdicts[0]
    shown = {TEXT: "transfer is better", f"{TEXT}-scratch": "scratch is better"}
    assert shown.get(verdict.better or "", "open" if verdict.is_open else "not shown") in out
    with pytest.raises(MMTransferError) as error:
        demo.demo("runs/demo")
    assert error.value.what == "The folder exists" and error.value.where == "--out runs/demo"


def test_a_task_without_a_pretrained_backbone_has_no_control(tiny, monkeypatch):
    model = {"backbone": "builtin", "strategy": "scratch", "lr": 1e-3}
    monkeypatch.setitem(BUILTIN, TEXT, Builtin(data=TINY, model=model))  # type: ignore[index]
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "run"])
    assert (tiny / "run" / "result.json").exists() and not (tiny / "run-scratch").exists()
    assert control.from_scratch(GIVEN) and not control.from_scratch({**GIVEN, "strategy": "full"})


def test_scratch_beside_scratch_is_refused_before_training(tiny, capsys):
    for flags in (["--strategy", "scratch"], ["--weights", "none"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["fit", TEXT, "--train", "builtin", "--out", "run", "--versus-scratch", *flags])
        assert stop.value.code == 2 and not (tiny / "run").exists()
        assert "The run is from scratch itself" in capsys.readouterr().err


def test_a_run_without_examples_has_no_control(tiny, capsys):
    names = ["--strategy", "linear-probe", "--strategy.prior", "names", "--shots", "0"]
    with pytest.raises(SystemExit):
        cli.main(["fit", TEXT, "--train", "builtin", "--out", "run", "--versus-scratch", *names])
    assert "learn nothing from no examples" in capsys.readouterr().err and not (tiny / "run").exists()
    cli.main(["fit", TEXT, "--train", "builtin", "--out", "run", *names])
    assert json.loads((tiny / "run" / "result.json").read_text())["status"] == "finished"
    assert "test" in capsys.readouterr().out and not (tiny / "run-scratch").exists()


def test_a_control_that_exists_is_refused_before_training(tiny, capsys):
    (tiny / "run-scratch").mkdir()
    (tiny / "run-scratch" / "config.json").write_text("{}")
    with pytest.raises(SystemExit):
        cli.main(["fit", TEXT, "--train", "builtin", "--out", "run"])
    error = capsys.readouterr().err
    assert "The run folder exists" in error and "run-scratch" in error and not (tiny / "run").exists()


def test_the_verbs_take_no_other_option(tiny, capsys):
    for words in (["demo", "--task", "x"], ["compare", "--folder", "x"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 2 and "Unknown option" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("task", [IMAGE, TEXT])
def test_transfer_beats_scratch_on_the_built_in_data(task, tmp_path, monkeypatch):
    name = {IMAGE: "image", TEXT: "text"}[task]
    if not (builtin.FOLDER / name).is_dir():
        pytest.skip(f"the built-in backbone is not packed: python -m benchmarks.pretrain.{name} pack")
    monkeypatch.chdir(tmp_path)
    cli.main(["fit", task, "--train", "builtin", "--out", "run"])
    verdict = comparison.compare(["run", "run-scratch"]).verdicts[0]
    assert verdict.better == "run" and verdict.difference.low > 0
    assert backbones.load("builtin", modality=name).source == f"builtin:{name}"
