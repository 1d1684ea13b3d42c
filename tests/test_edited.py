"""Run folders that were edited, or are somebody else's: told by the file and what is wrong in it, never a trace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import mmtransfer as mmt
from mmtransfer.comparison import compare
from mmtransfer.config import SPEECH, TEXT
from mmtransfer.errors import MMTransferError


@pytest.fixture(scope="module")
def runs(settings, tmp_path_factory):
    """Two runs that can be compared."""
    folder = tmp_path_factory.mktemp("runs")
    return [mmt.fit(**settings, lr=lr, out=folder / name).folder.path for name, lr in (("one", 1e-3), ("other", 1e-2))]


@pytest.fixture
def run(runs, tmp_path):
    return Path(shutil.copytree(runs[0], tmp_path / "run"))


def uses(run: Path, other: Path, settings: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """All that reads the JSON files of a run."""
    return {
        "predict": lambda: mmt.load(run).predict(["a b"]),
        "evaluate": lambda: mmt.load(run).evaluate(settings["test"]),
        "compare": lambda: compare([run, other]),
        "embed": lambda: mmt.embed(run, ["a b"]),
        "resume": lambda: mmt.fit(out=run, resume=True, task=TEXT),
        "repeats": lambda: mmt.repeat(n=1, out=run.parent, resume=True, task=TEXT),
    }


LOAD = ("predict", "evaluate", "compare")
EDITS = [
    ("result.json", "null", "it must be an object, not None", (*LOAD, "resume")),
    ("result.json", "[]", "it must be an object, not []", (*LOAD, "resume")),
    ("result.json", "{}", "status is missing", (*LOAD, "resume")),
    ("result.json", "[" * 100_000, "nested too deeply", (*LOAD, "resume")),
    ("result.json", '{"seed": ' + "1" * 5000 + "}", "Not a JSON file", (*LOAD, "resume")),
    ("result.json", b'{"status": "\xff"}', "Not a JSON file", (*LOAD, "resume")),
    ("result.json", {"schema": 99}, "in schema 99", LOAD),
    ("result.json", {"program": "another"}, "written by another", LOAD),
    ("result.json", {"seed": 2**70}, "seed must be a whole number", LOAD),
    ("result.json", {"metrics": None}, "metrics must be an object, not None", LOAD),
    ("result.json", {"metrics": {"test": {}}}, "metrics.test.accuracy is missing", ("compare",)),
    ("result.json", {"data": {}}, "is missing", LOAD),
    ("result.json", {"task": SPEECH}, "task", ("predict", "evaluate")),
    ("config.json", "[]", "it must be an object, not []", (*LOAD, "embed")),
    ("config.json", "{}", "task is missing", (*LOAD, "embed")),
    ("config.json", {"task": 3}, "task must be a text, not 3", (*LOAD, "embed")),
    ("config.json", {"task": "nope"}, "nope", ("predict", "evaluate", "embed")),
    ("config.json", {"mean": ["x"]}, "mean[0] must be a number, not 'x'", ("predict", "embed")),
    ("config.json", {"seed": "x"}, "seed must be a whole number", (*LOAD, "embed")),
    ("model/task.json", "{}", "task is missing", ("predict", "evaluate")),
    ("model/task.json", {"state": None}, "state must be an object", ("predict", "evaluate")),
    ("model/task.json", {"state": {}}, "labels is missing", ("predict", "evaluate")),
    ("model/task.json", {"state": {"labels": "xy"}}, "labels must be a list", ("predict", "evaluate")),
    ("model/task.json", {"state": {"labels": ["x", 1]}}, "labels[1] must be a text", ("predict", "evaluate")),
    ("model/task.json", {"state": {"labels": ["x"]}}, "head.safetensors", ("predict", "evaluate")),
    ("model/task.json", {"task": SPEECH}, "its task is speech-recognition", ("predict", "evaluate")),
    ("model/backbone.json", "{}", "name is missing", ("predict", "evaluate", "embed")),
    ("model/backbone.json", {"config": {"hidden_size": "x"}}, "backbone.json", ("predict", "evaluate", "embed")),
    ("model/backbone.json", {"depth": 99}, "there is no depth 99", ("predict", "evaluate", "embed")),
]


def edit(path: Path, content: Any) -> None:
    """Writes text or bytes, or changes keys."""
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("name", "content", "expected", "verbs"), EDITS)
def test_an_edited_file_is_told_by_what_is_wrong_in_it(run, runs, settings, name, content, expected, verbs):
    edit(run / name, content)
    (run / "model" / "manifest.json").unlink()  # it would tell that the file is another, not what is wrong in it
    for verb in verbs:
        with pytest.raises(MMTransferError) as error:
            uses(run, runs[1], settings)[verb]()
        assert expected in str(error.value) and str(run) in error.value.where, (verb, error.value)


@pytest.mark.parametrize("verb", ["resume", "repeats"])
@pytest.mark.parametrize(
    "content", ["null", "{}", {"train": None}, {"test": []}, {"strategy_options": []}, '{"model_type": "bert"}']
)
def test_a_run_with_an_edited_configuration_is_not_gone_on_with(run, runs, settings, verb, content):
    place = run.rename(run.parent / "seed-0")
    (place / "result.json").unlink()
    edit(place / "config.json", content)
    told = r"config.json cannot be read \((it|train|test|task|strategy_options) "
    with pytest.raises(MMTransferError, match=told) as error:
        uses(place, runs[1], settings)[verb]()
    assert error.value.where == str(place / "config.json")
    assert not (place / "lock.json").exists()


def test_another_programs_folder_is_no_run(settings, command):
    status, _, said = command("predict", settings["backbone"], settings["test"])
    assert status == 2 and "Not a run folder: its config.json is of another program" in said


def paths(value: Any, depth: int = 3) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value has others in it."""
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield (key,)
            yield from ((key, *rest) for rest in paths(inner, depth - 1))


@pytest.mark.parametrize("name", ["result.json", "config.json", "model/task.json", "model/backbone.json"])
def test_whatever_is_edited_the_answer_is_right_or_an_error(run, runs, name):
    """Every value in turn is something else."""
    whole = (run / name).read_text()
    places = [place for place in paths(json.loads(whole)) if "[" not in place[-1] and place[0] != "config"]
    outcomes = {"answered": 0, "refused": 0}
    for number, place in enumerate(places[::4]):
        value = json.loads(whole)
        inner = value
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = [None, [], "x", -1, {}][number % 5]
        (run / name).write_text(json.dumps(value))
        try:
            found = mmt.load(run)
            assert found.metrics is not None and compare([run, runs[1]]).entries
            if name.startswith("model"):
                assert len(found.predict(["a b"])) == 1
            outcomes["answered"] += 1
        except MMTransferError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0, outcomes


@pytest.mark.parametrize("damage", ["torn", "columns", "kinds", "gaps"])
def test_damaged_predictions_are_told_by_their_file(run, runs, damage):
    path = run / "predictions" / "test.parquet"
    table = pyarrow.parquet.read_table(path)
    changed = {
        "columns": table.drop_columns(["target"]),
        "kinds": table.drop_columns(["target"]).append_column("target", pyarrow.array(range(len(table)))),
        "gaps": table.drop_columns(["id"]).append_column("id", pyarrow.nulls(len(table), pyarrow.string())),
    }
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        pyarrow.parquet.write_table(changed[damage], path)
    with pytest.raises(MMTransferError, match="test.parquet cannot be read") as error:
        compare([run, runs[1]])
    assert error.value.where == str(path)


def test_a_head_of_another_run_is_told(run, runs):
    from safetensors.torch import load_file, save_file

    path = run / "model" / "head.safetensors"
    save_file({name: value[:1] for name, value in load_file(path).items()}, path)
    (run / "model" / "manifest.json").unlink()
    with pytest.raises(MMTransferError, match="head.safetensors cannot be read"):
        mmt.load(run).predict(["a"])


def test_words_of_the_command_line_end_in_status_2(run, command, settings):
    (run / "result.json").write_text("null")
    for words in (
        ["predict", run, settings["test"]],
        ["evaluate", run, "--test", settings["test"]],
        ["compare", run, run],
    ):
        status, _, said = command(*words)
        assert status == 2 and f"where: {run / 'result.json'}" in said and "Traceback" not in said


@pytest.mark.parametrize("how", ["resume", "predict"])
@pytest.mark.parametrize("content", [{"momentum": 3.5}, {"xx": 1}, {"epochs": "many"}, {"optimizer": "sgdd"}])
def test_a_setting_that_cannot_be_is_told_with_the_file(run, runs, settings, how, content):
    (run / "result.json").rename(run / "kept.json")
    edit(run / "config.json", content)
    if how == "predict":
        (run / "kept.json").rename(run / "result.json")
    with pytest.raises(MMTransferError, match="config.json cannot be read") as error:
        uses(run, runs[1], settings)[how]()
    assert error.value.where == str(run / "config.json")


@pytest.mark.parametrize("content", [{"strategy": "/dev/null"}, {"strategy_options": {"xx": 1}}])
def test_a_strategy_that_there_is_not_is_told_with_the_file(run, runs, settings, content):
    (run / "result.json").unlink()
    edit(run / "config.json", content)
    with pytest.raises(MMTransferError, match="config.json cannot be read .Unknown") as error:
        uses(run, runs[1], settings)["resume"]()
    assert error.value.where == str(run / "config.json")


def test_data_that_an_edited_configuration_has_elsewhere_are_told_with_the_file(run, runs, settings):
    (run / "result.json").unlink()
    edit(run / "config.json", {"test": "nowhere.csv"})
    with pytest.raises(MMTransferError, match="No such file or folder") as error:
        uses(run, runs[1], settings)["resume"]()
    assert error.value.where == f"{run / 'config.json'}: --test nowhere.csv"
