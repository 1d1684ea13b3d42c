"""Every kind of label, overfitted through the command line, the run folder and predict."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image
from sklearn.metrics import r2_score

import mmtransfer
from mmtransfer.config import IMAGE, TEXT

N = 32
TRAINING = ["--strategy", "full", "--batch-size", "8", "--schedule", "constant", "--warmup", "0.0", "--threads", "1"]


def fitted(command: Callable[..., tuple[int, str, str]], task: str, data: Path, out: Path, *flags: str) -> list[str]:
    """Trains and validates on the same rows; the answers of `predict`, in their order."""
    run(command, "fit", task, "--train", data, "--validation", data, "--test", data, *TRAINING, *flags, "--out", out)
    run(command, "predict", out, data, "--out", out / "answers.csv")
    with (out / "answers.csv").open(newline="") as file:
        return [row["label"] for row in csv.DictReader(file)]


def run(command: Callable[..., tuple[int, str, str]], *words: object) -> None:
    status, _, said = command(*words)
    assert status == 0, said


def write(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def primary(out: Path) -> dict[str, object]:
    return json.loads((out / "result.json").read_text())["primary"]


def share(found: list[str], known: list[object]) -> float:
    return sum(one == str(two) for one, two in zip(found, known, strict=True)) / len(known)


def texts() -> list[str]:
    """Of letters a to f, each there or not."""
    rng = np.random.default_rng(0)
    return [" ".join(np.array(list("abcdef"))[rng.random(6) < 0.5]) or "z" for _ in range(N)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> list[str]:
    flags = tiny.text(tmp_path_factory.mktemp("bert"))
    backbone = flags[flags.index("--backbone") + 1]
    return ["--backbone", backbone, "--weights", "none", "--max-length", "32", "--lr", "3e-3", "--epochs", "40"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> tuple[Path, np.ndarray, list[str]]:
    """Squares of one colour whose channels are bright or dark: folder, bool (n, 3), flags."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    bright = rng.random((N, 3)) < 0.5
    for number, channels in enumerate(bright):
        pixels = np.where(channels, 200, 40) + rng.integers(0, 50, (16, 16, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    flags = ["--backbone", "squeezenet1_1", "--weights", "none", "--image-size", "32", "--crop-pct", "1.0"]
    flags += ["--augment", "none", "--lr", "2e-3", "--epochs", "25", "--schedule", "cosine"]
    return folder, bright, flags


def test_texts_with_several_labels(command, bert, tmp_path):
    rows = [(text, text.replace(" ", ";").replace("z", "")) for text in texts()]
    data, out = write(tmp_path / "a.csv", ("text", "label"), rows), tmp_path / "run"
    found = fitted(command, TEXT, data, out, *bert, "--target", "multi-label", "--label-separator", ";")
    assert share(found, [answer for _, answer in rows]) >= 0.99
    result = json.loads((out / "result.json").read_text())
    assert result["primary"] == {"name": "f1_micro", "split": "test", "value": 1.0}
    assert result["metrics"]["test"]["subset_accuracy"]["value"] == result["phases"][0]["best"]["value"] == 1.0
    loaded = mmtransfer.load(out)
    assert loaded.predict(["a c"])[0].scores.keys() == set("abcdef")
    assert loaded.evaluate(str(data))["f1_micro"].value == 1.0


def test_texts_with_numbers(command, bert, tmp_path):
    rows = [(text, 100.0 + 7.5 * len(text.split())) for text in texts()]
    data, out = write(tmp_path / "a.csv", ("text", "label"), rows), tmp_path / "run"
    found = fitted(command, TEXT, data, out, *bert, "--target", "regression", "--head", "mlp")
    assert r2_score([value for _, value in rows], list(map(float, found))) >= 0.95
    assert primary(out)["name"] == "r2" and mmtransfer.load(out).predict(["a b"])[0].score is None


def test_pairs_of_texts(command, bert, tmp_path):
    """Whether the first letter comes before the second in the alphabet: which text is which decides."""
    rng = np.random.default_rng(0)
    letters = [rng.choice(list("abcdef"), 2, replace=False).tolist() for _ in range(N)]
    rows = [(one, two, "before" if one < two else "after") for one, two in letters]
    data, out = write(tmp_path / "a.csv", ("text1", "text2", "label"), rows), tmp_path / "run"
    found = fitted(command, TEXT, data, out, *bert, "--epochs", "60")
    assert share(found, [answer for *_, answer in rows]) >= 0.99
    pairs = [(one, two) for one, two, _ in rows]
    assert [prediction.label for prediction in mmtransfer.load(out).predict(pairs)] == found
    with pytest.raises(mmtransfer.MMTransferError, match="row 0: not a pair of texts"):
        mmtransfer.load(out).predict(["a"])


def test_pictures_with_several_labels(command, pictures, tmp_path):
    folder, bright, flags = pictures
    names = np.array(["blue", "green", "red"])
    answers = ["|".join(names[row[::-1]]) for row in bright]
    data = write(folder / "labels.csv", ("file", "label"), [(f"{n}.png", answer) for n, answer in enumerate(answers)])
    found = fitted(command, IMAGE, data, tmp_path / "run", *flags, "--target", "multi-label")
    assert share(found, answers) >= 0.99 and primary(tmp_path / "run")["value"] >= 0.99


def test_pictures_with_numbers(command, pictures, tmp_path):
    folder, bright, flags = pictures
    values = bright.sum(1) * 20.0 - 5
    data = write(folder / "numbers.csv", ("file", "label"), [(f"{n}.png", value) for n, value in enumerate(values)])
    found = fitted(command, IMAGE, data, tmp_path / "run", *flags, "--target", "regression")
    assert r2_score(values, list(map(float, found))) >= 0.95 and primary(tmp_path / "run")["name"] == "r2"


def test_a_split_is_cut_without_classes(command, bert, tmp_path):
    """Labels and numbers that occur once are no reason to refuse: validation is cut from the training data."""
    rows = [(f"{text} z", n + 0.5, f"{'abcdef'[n % 6]}|l{n // 24}{n % 2}") for n, text in enumerate(texts())]
    data = write(tmp_path / "a.csv", ("text", "number", "labels"), rows)
    for target, column in (("regression", "number"), ("multi-label", "labels")):
        out = tmp_path / target
        flags = ["--target", target, "--label-column", column, "--text-column", "text", "--epochs", "1"]
        run(command, "fit", TEXT, "--train", data, *bert, *TRAINING, *flags, "--out", out)
        assert json.loads((out / "result.json").read_text())["data"]["validation"]["n"] == 3


def test_a_part_of_the_data_keeps_every_label(command, bert, tmp_path):
    rows = [(text, f"{'abcdef'[n % 6]}|{'rare' if n == 20 else 'often'}") for n, text in enumerate(texts())]
    data = write(tmp_path / "a.csv", ("text", "label"), rows)
    for part in (["--fraction", "0.3"], ["--shots", "9"]):
        out = tmp_path / part[0]
        flags = ["--target", "multi-label", "--epochs", "1", *part, "--validation", data, "--out", out]
        run(command, "fit", TEXT, "--train", data, *bert, *TRAINING, *flags)
        assert "rare" in mmtransfer.load(out).predict(["a"])[0].scores


def test_where_a_metric_is_undefined_the_last_epoch_is_kept(command, bert, tmp_path):
    data = write(tmp_path / "a.csv", ("text", "label"), [(text, n) for n, text in enumerate(texts())])
    one = write(tmp_path / "one.csv", ("text", "label"), [("a b", 3.0)])
    out = tmp_path / "run"
    flags = ["--target", "regression", "--epochs", "3", "--patience", "1", "--validation", one, "--out", out]
    run(command, "fit", TEXT, "--train", data, *bert, *TRAINING, *flags)
    assert json.loads((out / "result.json").read_text())["phases"][0]["best"] == {"epoch": 3, "value": None}


def test_class_weights_are_read_from_the_command_line(command, bert, tmp_path):
    rows = [(text, "rare" if n < 4 else "common") for n, text in enumerate(texts())]
    data = write(tmp_path / "a.csv", ("text", "label"), rows)
    for weights in ("none", "auto"):
        fitted(command, TEXT, data, tmp_path / weights, *bert, "--epochs", "1", "--class-weights", weights)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("none", "auto")]
    losses = [json.loads(lines[0])["loss"] for lines in logs]
    assert losses[0] != losses[1]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("target", ["multi-label", "regression", "pairs"])
def test_real_sentences(command, data_folder, minilm, tmp_path, target):
    """32 sentences of BANKING77: the words of the intent's name, the number of words, whether two belong together."""
    with (data_folder / "banking77" / "train.csv").open(newline="") as file:
        sentences = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    names = sorted({name for _, name in sentences})[:8]
    few = [row for name in names for row in [row for row in sentences if row[1] == name][:4]]
    epochs = "8" if target == "pairs" else "25"
    flags = ["--backbone", str(minilm), "--lr", "3e-4", "--epochs", epochs, "--target"]
    if target == "multi-label":
        rows = [(text, "|".join(sorted(set(name.split("_"))))) for text, name in few]
        found = fitted(
            command, TEXT, write(tmp_path / "a.csv", ("text", "label"), rows), tmp_path / "run", *flags, target
        )
        assert share(found, [answer for _, answer in rows]) >= 0.99
    elif target == "regression":
        values = [len(text.split()) for text, _ in few]
        rows = [(text, value) for (text, _), value in zip(few, values, strict=True)]
        found = fitted(
            command, TEXT, write(tmp_path / "a.csv", ("text", "label"), rows), tmp_path / "run", *flags, target
        )
        assert r2_score(values, list(map(float, found))) >= 0.95
    else:
        others = [few[(n + 1 if n % 2 else n + 4) % N] for n in range(N)]
        rows = [
            (one[0], two[0], "same" if one[1] == two[1] else "different") for one, two in zip(few, others, strict=True)
        ]
        data = write(tmp_path / "a.csv", ("text1", "text2", "label"), rows)
        found = fitted(command, TEXT, data, tmp_path / "run", *flags, "single-label")
        assert share(found, [answer for *_, answer in rows]) >= 0.99
