"""What users get wrong, end to end: a message that says what, where and what to do, status 2, no run folder."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from PIL import Image

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT


def table(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def texts(folder: Path, **changes: object) -> list[object]:
    """A text run on good data with some flags, of which one is wrong."""
    train = table(folder / "good.csv", [(f"{'ab'[n % 2]} {'cdef'[n % 4]}", "xy"[n % 2]) for n in range(20)])
    flags = {"--train": train, **{f"--{k.replace('_', '-')}": v for k, v in changes.items()}}
    return [TEXT, *(word for pair in flags.items() for word in pair)]


def missing_file(folder: Path) -> list[object]:
    """Said before the backbone is looked for, which is not there either."""
    return [TEXT, "--train", folder / "nowhere.csv", "--backbone", "no/where"]


def tiny_text(folder: Path) -> list[object]:
    return [TEXT, *tiny.text(folder), "--weights", "none"]


def empty_folder(folder: Path) -> list[object]:
    (folder / "empty").mkdir()
    return [IMAGE, "--train", folder / "empty", "--backbone", "resnet18", "--weights", "none"]


def unreadable_image(folder: Path) -> list[object]:
    for label in "ab":
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8)).save(folder / "pictures" / label / f"{number}.png")
    (folder / "pictures" / "b" / "broken.png").write_bytes(b"no picture")
    return [IMAGE, "--train", folder / "pictures", "--backbone", "resnet18", "--weights", "none"]


def wrong_column(folder: Path) -> list[object]:
    return [*tiny_text(folder), "--label-column", "lable"]


def unseen_label(folder: Path) -> list[object]:
    return [*tiny_text(folder), "--test", table(folder / "test.csv", [("a b", "x"), ("b c", "yy")])]


def silent_recording(folder: Path) -> list[object]:
    flags = tiny.speech(folder)
    soundfile.write(folder / "speech" / "train" / "3.wav", np.zeros(0), 16000)
    return [SPEECH, *flags, "--weights", "none"]


def lonely_class(folder: Path) -> list[object]:
    rows = [("a b", "x"), ("b c", "x"), ("c d", "y"), ("d e", "y"), ("e f", "alone")]
    words = tiny_text(folder)
    place = words.index("--validation")
    return [*words[:place], *words[place + 2 :], "--train", table(folder / "few.csv", rows)]


def mistyped_backbone(folder: Path) -> list[object]:
    return [IMAGE, "--train", "builtin:digits", "--backbone", "resnet81", "--weights", "none"]


def hub_name(folder: Path) -> list[object]:
    return texts(folder, backbone="google-bert/bert-nobody-has")


def missing_backbone(folder: Path) -> list[object]:
    return texts(folder, backbone=folder / "nobody")


def mistyped_strategy(folder: Path) -> list[object]:
    return texts(folder, strategy="ful")


def mistyped_flag(folder: Path) -> list[object]:
    return [*texts(folder), "--learning-rate", "1"]


def backbone_of_another_kind(folder: Path) -> list[object]:
    return texts(folder, backbone="resnet18")


def unknown_builtin(folder: Path) -> list[object]:
    return [IMAGE, "--train", "builtin:digit", "--backbone", "resnet18", "--weights", "none"]


CASES: list[tuple[Callable[[Path], list[object]], list[str]]] = [
    (missing_file, ["No such file or folder", "--train", "nowhere.csv", "check the path"]),
    (empty_folder, ["The folder holds no image files", "--train", "empty"]),
    (unreadable_image, ["1 of 7 examples cannot be used", "b/broken.png", "not a readable image", "--skip-bad"]),
    (wrong_column, ["Unknown column 'lable'", "--label-column", "did you mean label"]),
    (unseen_label, ["1 label(s) unseen in training: 'yy'", "--test", "row 1", "closest to 'yy': y"]),
    (silent_recording, ["1 of 48 examples cannot be used", "3.wav", "zero length", "--skip-bad"]),
    (lonely_class, ["1 class(es) too small to split", "'alone'", "--validation DATA"]),
    (mistyped_backbone, ["Unknown backbone 'resnet81'", "--backbone resnet81", "did you mean resnet"]),
    (hub_name, ["Could not get 'google-bert/bert-nobody-has'", "give a local folder", "--backbone builtin"]),
    (missing_backbone, ["No such folder", "--backbone", "check the path"]),
    (mistyped_strategy, ["Unknown strategy 'ful'", "did you mean full"]),
    (mistyped_flag, ["Unknown option --learning-rate", "did you mean --lr?"]),
    (backbone_of_another_kind, ["resnet18 is a backbone for image, the task needs one for text", "--backbone"]),
    (unknown_builtin, ["Unknown built-in data 'digit'", "did you mean digits"]),
]


@pytest.mark.parametrize(("case", "expected"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_what_is_wrong_is_said_and_leaves_nothing_behind(command, tmp_path, case, expected):
    status, _, said = command("fit", *case(tmp_path), "--out", tmp_path / "run", "--epochs", "1")
    assert status == 2, said
    assert "Traceback" not in said
    error = said[said.index("error: ") :]
    assert [line.split(":")[0].strip() for line in error.splitlines()] == ["error", "where", "do"], error
    assert all(part in error for part in expected), error
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_exists_is_left_as_it_is(command, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    for words, expected in (([], "exists and is no run"), (["--overwrite"], "Not a run folder, so it is not overwrit")):
        status, _, said = command("fit", *texts(tmp_path), "--out", tmp_path / "run", *words)
        assert status == 2 and expected in said and "--resume" not in said
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_run_that_has_not_ended_cannot_be_used(command, tmp_path, verb):
    (tmp_path / "config.json").write_text("{}")
    status, _, said = command(verb, tmp_path, *(["--test", "x"] if verb == "evaluate" else ["x"]))
    assert status == 2 and "The run has not ended" in said and "--resume" in said


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run on texts whose classes are called n and p."""
    folder = tmp_path_factory.mktemp("finished")
    words = tiny.text(folder)
    rows = [(f"{'ab'[n % 2]} {'cdef'[n % 4]}", "np"[n % 2]) for n in range(20)]
    words[words.index("--train") + 1] = str(table(folder / "good.csv", rows))
    del words[words.index("--validation") : words.index("--validation") + 2]
    given = parse(TEXT, [*words, "--weights", "none", "--epochs", "1"], {}, "a test")
    return mmt.fit(**given, threads=1, out=folder / "run").folder.path


DAMAGES = [
    ("result.json", "{", "The run folder is damaged: result.json cannot be read", ("predict", "evaluate")),
    ("config.json", "{", "Not a JSON file", ("predict", "evaluate", "embed")),
    ("model/task.json", "{", "The run folder is damaged: task.json cannot be read", ("predict", "evaluate")),
    ("model/head.safetensors", None, "head.safetensors is missing", ("predict", "evaluate")),
    ("model/backbone.safetensors", None, "backbone.safetensors is missing", ("predict", "evaluate", "embed", "fit")),
    ("model/backbone.json", "{", "backbone.json cannot be read", ("predict", "evaluate", "embed", "fit")),
    ("model", None, f"mmtransfer fit {TEXT} --resume --out", ("predict", "evaluate", "embed", "fit")),
]


@pytest.mark.parametrize(
    ("name", "content", "expected", "verb"), [(*damage, verb) for *damage, verbs in DAMAGES for verb in verbs]
)
def test_a_damaged_run_is_told_by_its_file(run, command, tmp_path, name, content, expected, verb):
    copy, data = tmp_path / "copy", run.parent / "good.csv"
    shutil.copytree(run, copy)
    if content is not None:
        (copy / name).write_text(content)
    elif (copy / name).is_dir():
        shutil.rmtree(copy / name)
    else:
        (copy / name).unlink()
    words = {
        "predict": ["predict", copy, data],
        "evaluate": ["evaluate", copy, "--test", data],
        "embed": ["embed", copy, data, "--out", tmp_path / "x.npy"],
        "fit": ["fit", TEXT, "--train", data, "--backbone", copy, "--out", tmp_path / "run"],
    }[verb]
    status, _, said = command(*words)
    assert status == 2 and expected in said and "Traceback" not in said, said


def test_a_path_where_no_run_is_is_no_hub_name(run, command):
    status, _, said = command("evaluate", run.parent / "nope", "--test", run.parent / "good.csv")
    assert status == 2 and "Not a run folder" in said and "huggingface" not in said


def test_other_columns_and_bad_rows_have_flags_where_messages_name_them(run, command, tmp_path):
    rows = [("a c", "n"), ("b d", "p"), ("b e", "q")]
    strange = table(tmp_path / "strange.csv", [(*row, "x y") for row in rows], ("one", "two", "three"))
    status, _, said = command("evaluate", run, "--test", strange, "--text-column", "one", "--label-column", "two")
    assert status == 2 and "label(s) unseen in training: 'q'" in said and "--skip-bad" in said
    columns = ["--text-column", "one", "--label-column", "two"]
    status, printed, said = command("evaluate", run, "--test", strange, *columns, "--skip-bad")
    assert status == 0 and "f1[n]" in printed and "f1[p]" in printed, said
    status, printed, said = command("predict", run, strange, "--text-column", "one")
    assert status == 0 and len(printed.splitlines()) == 3, said
    assert command("predict", run, strange, "--label-column", "two")[0] == 2


def test_predictions_go_into_a_new_folder_and_not_into_a_folder(run, command, tmp_path):
    data = run.parent / "good.csv"
    assert command("predict", run, data, "--out", tmp_path / "new" / "p.csv")[0] == 0
    assert len((tmp_path / "new" / "p.csv").read_text().splitlines()) == 21
    status, _, said = command("predict", run, data, "--out", tmp_path / "new")
    assert status == 2 and "not a folder" in said
