"""A finished run in use: one input or many in any form, the words of `predict`, what a run tells of itself."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import tiny
import torch
from PIL import Image

import mmtransfer as mmt
from mmtransfer.cli import ending
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.errors import MMTransferError

Command = Callable[..., tuple[int, str, str]]
LABELS = ("<b>red", "=1+1", "green")
TEXTS = ("a a a", "m m m", "z z z")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on texts, pictures and recordings, and files of each to predict."""
    folder = tmp_path_factory.mktemp("use")
    tiny.text(folder)
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)] * 8
    common: dict[str, Any] = {"weights": "none", "threads": 1, "cache": "off"}
    own = {"backbone": str(folder / "bert"), "strategy": "linear-probe", "max_length": 32}
    mmt.fit(task=TEXT, train=rows, test=rows[:12], out=folder / "text", **own, **common)
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    pictures = [random.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(8)]
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    named = [(pixels, "ab"[number % 2]) for number, pixels in enumerate(pictures)]
    own = {"backbone": "resnet18", "strategy": "linear-probe", "image_size": 32}
    mmt.fit(task=IMAGE, train=named, out=folder / "image", **own, **common)
    return folder


def forms_of_texts(place: Path) -> list[Any]:
    frame = pandas.DataFrame({"text": TEXTS, "other": [1, 2, 3]})
    return [
        list(TEXTS),
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object)[:, None],
        pandas.Series(TEXTS),
        frame,
        pyarrow.table(frame),
        {"text": list(TEXTS)},
        [{"text": text} for text in TEXTS],
    ]


def test_texts_are_predicted_in_every_form(place: Path) -> None:
    run = mmt.load(place / "text")
    wanted = run.predict(list(TEXTS))
    assert [one.id for one in wanted] == ["0", "1", "2"] and len({one.label for one in wanted}) > 1
    for given in forms_of_texts(place):
        assert run.predict(given) == wanted, type(given)
    for one in (TEXTS[1], {"text": TEXTS[1]}):
        found = run.predict(one)
        assert (found.label, found.score) == (wanted[1].label, pytest.approx(wanted[1].score, abs=1e-5))
    assert (run.embed(pandas.Series(TEXTS)).values == run.embed(list(TEXTS)).values).all()


def test_pictures_are_predicted_in_every_form(place: Path) -> None:
    run = mmt.load(place / "image")
    files = sorted((place / "pictures").iterdir())
    wanted = [one.label for one in run.predict(files)]
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    many = [
        place / "pictures",
        pixels,
        channels_first,
        channels_first / 255,
        [Image.open(file) for file in files],
        pandas.DataFrame({"file": files}),
        {"image": list(pixels)},
    ]
    for given in many:
        assert [one.label for one in run.predict(given)] == wanted, type(given)
    for one in (str(files[3]), files[3], Image.open(files[3]), pixels[3], channels_first[3], files[3].read_bytes()):
        assert run.predict(one).label == wanted[3], type(one)
    assert len(run.predict(pixels[..., 0])) == 8 and run.predict(pixels[0, ..., 0]).label  # grey ones
    with pytest.raises(MMTransferError, match="must be from 0 to 1: leave out Normalize"):
        run.predict(channels_first[3] / 255 - 0.5)


def test_what_is_a_path_is_never_a_sentence(place: Path, command: Command) -> None:
    run = mmt.load(place / "text")
    for path in ("missing.csv", "no/such place", "missing.txt", "photo.jpg"):
        with pytest.raises(MMTransferError, match="No such file or folder"):
            run.predict(path)
        status, _, said = command("predict", place / "text", path)
        assert status == 2 and "No such file or folder" in said and "by standard input" in said


def test_a_command_line_takes_several_inputs(place: Path, command: Command, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "t.csv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    wanted = [one.label for one in mmt.load(place / "text").predict(list(TEXTS))]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("z z z\n\nm m m\n"))
    status, printed, said = command("predict", place / "text", "a a a", "t.csv", "-", "m m m")
    assert status == 0, said
    rows = [line.split("\t") for line in printed.splitlines()]
    assert [row[0] for row in rows] == ["0", "t.csv:0", "t.csv:1", "t.csv:2", "-:0", "-:1", "3"]
    assert [row[1] for row in rows] == [wanted[0], *wanted, wanted[2], wanted[1], wanted[1]]
    status, printed, _ = command("predict", place / "text", "m m m")
    assert (status, printed.split("\t")[:2]) == (0, ["0", wanted[1]])
    files = [str(place / "pictures" / name) for name in ("1.png", "0.png")]
    status, printed, said = command("predict", place / "image", *files, place / "pictures")
    assert status == 0, said
    ids = [line.split("\t")[0] for line in printed.splitlines()]
    assert ids == [*files, *(str(place / "pictures" / f"{number}.png") for number in range(8))]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "Standard input is empty" in command("predict", place / "text", "-")[2]
    assert "There is nothing to predict" in command("predict", place / "text")[2]


def test_the_most_likely_classes_and_json(place: Path, command: Command, tmp_path: Path) -> None:
    (best,) = mmt.load(place / "text").predict(["m m m"])
    ranked = sorted(best.scores.items(), key=lambda pair: -pair[1])[:2]
    status, printed, said = command("predict", place / "text", "m m m", "--top", "2", "--json")
    assert status == 0, said
    (row,) = json.loads(printed)
    assert (row["id"], row["label"]) == ("0", best.label)
    assert [(entry["label"], entry["score"]) for entry in row["top"]] == [
        (name, pytest.approx(score, abs=1e-5)) for name, score in ranked
    ]
    for name in ("x.csv", "x.parquet", "x.jsonl"):
        assert command("predict", place / "text", "m m m", "--top", "2", "--out", tmp_path / name)[0] == 0
    with (tmp_path / "x.csv").open(newline="") as file:
        (cells,) = csv.DictReader(file)
    assert list(cells) == ["id", "label", "score", "label_1", "score_1", "label_2", "score_2"]
    assert [cells["label_1"], cells["label_2"]] == [("'" if n.startswith("=") else "") + n for n, _ in ranked]
    (stored,) = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [stored["label_1"], stored["label_2"]] == [name for name, _ in ranked]
    assert "--top must be 1 or more" in command("predict", place / "text", "m m m", "--top", "0")[2]
    refused = command("predict", place / "text", "m m m", "--json", "--out", tmp_path / "y.csv")
    assert refused[0] == 2 and "--json is of the terminal" in refused[2]


def test_a_run_shows_itself_in_a_line_and_a_table(place: Path) -> None:
    run = mmt.load(place / "text")
    assert "\n" not in repr(run) and len(repr(run)) < 300
    assert str(place / "text") in repr(run) and "test accuracy" in repr(run) and TEXT in repr(run)
    run.result["strategy"]["name"] = "<script>\x1b"
    shown = run._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;\\x1b" in shown and "\x1b" not in repr(run)
    assert shown.count("<tr>") > 3 and "f1[" not in shown


def test_scores_are_of_one_kind(place: Path) -> None:
    run = mmt.load(place / "text")
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)] * 4
    stored, found = run.metrics["test"], run.evaluate(rows)
    assert stored == found and type(stored["accuracy"]) is type(found["accuracy"])
    score = found["accuracy"]
    assert score["value"] == score.value and score["n"] == score.n == 12
    assert dict(score) == run.result["metrics"]["test"]["accuracy"] == score
    with pytest.raises(KeyError):
        score["mean"]


def test_a_run_gives_frames(place: Path) -> None:
    run = mmt.load(place / "text")
    frame = run.to_frame("test")
    assert len(frame) == 12 and {"id", "target", "prediction", "score", "loss"} <= set(frame.columns)
    found = {one.id: one for one in run.predict([TEXTS[number % 3] for number in range(12)])}
    for row in frame.itertuples():
        assert (found[row.id].label, found[row.id].score) == (row.prediction, pytest.approx(row.score, abs=1e-5))
    confusion = run.confusion
    assert confusion.to_numpy().sum() == 12 and sorted(confusion.index) == sorted(confusion.columns) == sorted(LABELS)
    assert confusion.to_numpy().trace() == sum(frame["target"] == frame["prediction"])
    assert list(run.history.columns)[:4] == ["step", "phase", "epoch", "loss"] and not len(run.history)
    with pytest.raises(MMTransferError, match="The run has no predictions on test"):
        mmt.load(place / "image").to_frame("test")


def test_a_run_ends_in_one_table(place: Path, capsys: Any, monkeypatch: Any) -> None:
    run = mmt.load(place / "text")
    metrics = run.result["metrics"]
    metrics["test"]["top5"] = metrics["test"]["accuracy"]
    metrics["test"]["f1[green]"] |= {"value": 0.25, "low": 0.1, "high": 0.5}
    ending.show(run)
    shown = capsys.readouterr().out
    assert shown.count("──\n") == 1 and "top5" not in shown and "f1_macro" in shown and "recall[" not in shown
    lines = shown.splitlines()
    assert lines[0].strip() == "test" and max(map(len, lines)) <= 80 + len(str(place))
    (validation,) = [line for line in lines if line.startswith("validation")]
    score = run.metrics["validation"]["accuracy"]
    assert validation.endswith(f": accuracy {score}, n={score.n}")
    assert "worst class: green, F1 0.2500 (0.1000 to 0.5000), n=4" in lines
    assert lines[-1] == f"next: mmtransfer predict {place / 'text'} INPUT"
    monkeypatch.setattr(ending, "_classes", lambda run: 20)
    ending.show(run)
    assert "top5" in capsys.readouterr().out
    for split in metrics:  # of more than 20 classes there are none of each
        metrics[split] = {name: score for name, score in metrics[split].items() if "[" not in name}
    ending.show(run)
    assert "worst class: " in capsys.readouterr().out
