"""What `--dry-run` tells is what a run then does; nothing is written, and no test example is scored."""

from __future__ import annotations

import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli import dispatch
from mmtransfer.config import TEXT
from mmtransfer.errors import MMTransferError


def files_of(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "chosen",
    [
        {"strategy": "full", "strategy_options": {"head_epochs": 1}},
        {"strategy": "partial", "strategy_options": {"n": 1}},
        {"strategy": "lp-ft"},
        {"strategy": "linear-probe"},
    ],
    ids=lambda chosen: chosen["strategy"],
)
def test_what_is_told_is_what_a_run_does(tmp_path, chosen):
    settings = tiny.text_settings(tmp_path) | {"epochs": 2, "batch_size": 10, **chosen}
    before = files_of(tmp_path)
    plan = mmt.dry_run(**settings)
    assert files_of(tmp_path) == before, "nothing is written"
    run = mmt.fit(**settings, out=tmp_path / "run")
    assert plan.splits == {name: split["n"] for name, split in run.result["data"].items()}
    assert {name: plan.parameters[name] for name in ("total", "trainable")} == {
        name: run.result["parameters"][name] for name in ("total", "trainable")
    }
    done = [(phase["name"], phase["epochs"], phase["steps"]) for phase in run.result["phases"]]
    assert [(phase.name, phase.epochs, phase.steps) for phase in plan.phases] == done
    assert all(phase.seconds > 0 for phase in plan.phases)
    assert plan.seconds["total"] == sum(plan.seconds[part] for part in ("startup", "train", "evaluate"))
    weights = sum(path.stat().st_size for path in (tmp_path / "run" / "model").glob("*.safetensors"))
    assert 0.5 * weights < plan.disk["model"] <= weights, "the files have heads of their own"


def test_a_part_that_is_computed_once_is_told_as_stored(tmp_path):
    settings = tiny.text_settings(tmp_path) | {"epochs": 3, "strategy": "partial", "strategy_options": {"n": 1}}
    stored, every = (mmt.dry_run(**settings | {"cache": cache}) for cache in ("on", "off"))
    assert stored.phases[0].stored and stored.disk["features"] > 0
    assert not every.phases[0].stored and every.disk["features"] == 0


def test_test_data_are_not_scored(tmp_path, monkeypatch):
    settings = tiny.text_settings(tmp_path)
    monkeypatch.setattr("mmtransfer.fitting.evaluate", lambda *given: pytest.fail("scored"))
    assert mmt.dry_run(**settings).seconds["evaluate"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": "no-such.csv"}, "no-such.csv"),
        ({"label_column": "lable"}, "lable"),
        ({"strategy": "norm", "strategy_options": {"n": 99}}, "99"),
    ],
)
def test_what_a_run_would_refuse_is_refused(tmp_path, wrong, message):
    with pytest.raises(MMTransferError, match=message):
        mmt.dry_run(**tiny.text_settings(tmp_path) | wrong)


def test_a_finished_run_in_its_place_is_told(tmp_path):
    settings = tiny.text_settings(tmp_path) | {"epochs": 1}
    mmt.fit(**settings, out=tmp_path / "run")
    with pytest.raises(MMTransferError, match="overwrite"):
        mmt.dry_run(**settings, out=tmp_path / "run")
    assert mmt.dry_run(**settings, out=tmp_path / "run", overwrite=True).phases


def test_the_commands_write_nothing(tmp_path, capsys, monkeypatch):
    flags = [*tiny.text(tmp_path), "--weights", "none", "--cache-dir", str(tmp_path / "cache")]
    place = flags.index("--backbone")
    backbone = flags.pop(place + 1)
    flags.pop(place)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = files_of(tmp_path)
    dispatch(["fit", TEXT, *flags, "--backbone", backbone, "--strategy", "full", "--dry-run"])
    told = capsys.readouterr().out
    assert "phase full" in told and "nothing has been written" in told
    dispatch(["auto", TEXT, *flags, "--backbones", backbone, "--max-minutes", "5", "--dry-run"])
    told = capsys.readouterr().out
    assert "examples/s" in told and "trainings" in told and "300 s" in told
    assert files_of(tmp_path) == before
