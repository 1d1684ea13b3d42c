"""Settings: checked, refused with the nearest name, filled in with the task's defaults."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtransfer.config import FIELDS, IMAGE, SPEECH, TEXT, RunConfig, make, read_settings, reads
from mmtransfer.defaults import DEFAULTS
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "--epochs must be more than 0"),
        ({"label_smoothing": 1.0}, "--label-smoothing must be at least 0 and below 1"),
        ({"validation_fraction": 1.5}, "--validation-fraction must be at least 0 and below 1"),
        ({"workers": -1}, "--workers must be 0 or more"),
        ({"resume": True}, "--resume needs the run"),
        ({"resume": True, "overwrite": True, "out": "x"}, "exclude each other"),
        ({"crop_pct": 1.2}, "--crop-pct must be above 0 and at most 1"),
        ({"label_separator": "", "target": "multi-label"}, "--label-separator must be a character or more"),
        ({"label_separator": ","}, "--target single-label does not read --label-separator"),
        ({"label_smoothing": 0.1, "target": "regression"}, "--target regression does not read --label-smoothing"),
        ({"class_weights": "auto", "target": "multi-label"}, "--target multi-label does not read --class-weights"),
        ({"fraction": 0.0}, "--fraction must be above 0 and at most 1"),
        ({"shots": -1}, "--shots must be 0 or more"),
        ({"fraction": 0.5, "shots": 3}, "--fraction and --shots exclude each other"),
        ({"test": "a.csv", "test_group": "ann"}, "--test and --test-group exclude each other"),
    ],
)
def test_values_out_of_range_are_refused_in_the_flags_spelling(fields, words):
    with pytest.raises(MMTransferError) as error:
        make({"task": IMAGE, **fields}, "a test")
    assert words in error.value.what


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(MMTransferError, match="did you mean epochs"):
        make({"epoch": 3}, "a test")


def test_a_setting_that_the_task_does_not_read_is_refused():
    with pytest.raises(MMTransferError, match="text-classification does not read image_size="):
        make({"task": TEXT, "image_size": 64}, "a test")
    assert not reads("image_size", SPEECH) and reads("image_size", IMAGE)


def test_json_gives_the_same_settings_back(tmp_path):
    config = RunConfig(task=IMAGE, mean=(0.5, 0.5, 0.5), epochs=3, strategy_options={"n": 2})
    (tmp_path / "config.json").write_text(json.dumps(config.as_dict()))
    assert make(read_settings(tmp_path / "config.json"), "a test") == config


def test_data_of_python_is_named_and_not_copied():
    class Uncopied(list):
        def __deepcopy__(self, memo):
            raise AssertionError("copied")

    values = RunConfig(train=Uncopied([1, 2]), validation={"train": [], "test": []}, test=iter([])).as_dict()
    assert values["train"] == "python:2 rows" and values["validation"] == "python:train+test"
    assert values["test"] == "python:list_iterator"


def test_every_default_is_a_field_that_its_task_reads():
    for task, defaults in DEFAULTS.items():
        for name in defaults:
            assert name in FIELDS and reads(name, task)


def test_ten_digits_a_class_are_taken_unless_another_part_is_asked_for():
    assert resolve(task=IMAGE, train="builtin").shots == 10
    assert resolve(task=IMAGE, train="builtin", shots=3).shots == 3
    asked = resolve(task=IMAGE, train="builtin", fraction=0.5)
    assert (asked.shots, asked.fraction) == (None, 0.5)
    assert resolve(task=IMAGE, train="builtin:digits", backbone="builtin").shots is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("optimizer", "adam", "did you mean adamw"),
        ("precision", "fp8", "Unknown precision='fp8'"),
        ("schedule", "cosin", "did you mean cosine"),
        ("cache", "no", "Unknown cache='no'"),
        ("head", "MLP", "did you mean mlp"),
        ("epochs", "3", "epochs= must be a whole number, not '3'"),
        ("epochs", True, "epochs= must be a whole number"),
        ("lr", "1e-3", "lr= must be a number"),
        ("skip_bad", 1, "skip_bad= must be true or false"),
        ("backbone", 7, "backbone= must be a text"),
        ("seed", -1, "seed= must be 0 or more"),
        ("momentum", 1.0, "momentum= must be at least 0 and below 1"),
        ("weight_decay", -0.1, "weight_decay= must be 0 or more"),
        ("nesterov", True, "AdamW does not read nesterov=True"),
        (
            "strategy_options",
            {"head_epochs": "2"},
            "{'head_epochs': ...} must be a whole number, not '2'",
        ),
        ("strategy_options", {"head_lr_ratio": -1.0}, "strategy_options={'head_lr_ratio': ...} must be more than 0"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused_in_json_and_python(name, value, said):
    with pytest.raises(MMTransferError) as error:
        resolve(task=TEXT, train="x", **{name: value})
    assert said in str(error.value)


def test_options_of_two_types_take_both():
    for layer in (2, "auto"):
        probe = resolve(task=TEXT, train="x", strategy="linear-probe", strategy_options={"layer": layer})
        assert probe.strategy_options["layer"] == layer
    with pytest.raises(MMTransferError, match="did you mean last.; known: last, auto"):
        resolve(task=TEXT, train="x", strategy="linear-probe", strategy_options={"layer": "lats"})


def test_numbers_of_numpy_are_numbers():
    config = make({"task": TEXT, "epochs": np.int64(3), "lr": np.float32(0.5), "batch_size": 8}, "a test")
    assert config.epochs == 3 and config.lr == 0.5


def test_a_configuration_that_is_no_json_object_is_refused(tmp_path):
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(MMTransferError, match="one JSON object"):
        read_settings(tmp_path / "bad.json")
    with pytest.raises(MMTransferError, match="No such configuration file"):
        read_settings(tmp_path / "none.json")


def test_settings_in_python_are_of_the_task_that_is_named_beside_them():
    assert resolve(RunConfig(lr=1e-4, train="x.csv"), task=TEXT).lr == 1e-4


def test_paths_become_strings(tmp_path):
    config = make({"task": IMAGE, "train": tmp_path, "backbone": tmp_path, "weights": tmp_path, "out": tmp_path}, "x")
    assert {config.train, config.backbone, config.weights, config.out} == {str(tmp_path)}
    json.dumps(config.as_dict())
