"""What a run gives out: files of predictions by their suffix, names that spreadsheets and terminals would obey."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT
from mmtransfer.engine import precision

LABELS = ("=1+1", "\x1b[31mred", "café")
TEXTS = ("a a a", "m m m", "z z z")
NEVER = {"datasets", "evaluate", "pandas", "scipy.stats", "sklearn", "transformers.pipelines"}
"""Libraries that no prediction needs."""
LIBRARIES = {"accelerate", "torchaudio", "torchvision", "transformers"}
"""Those that some need."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run that tells three odd labels apart, on a backbone whose name has an escape sequence in it."""
    folder = tmp_path_factory.mktemp("outputs")
    tiny.text(folder)
    (folder / "bert").rename(folder / "bert\x1b[2J")
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)] * 8
    common = {"task": TEXT, "backbone": str(folder / "bert\x1b[2J"), "weights": "none", "threads": 1, "max_length": 32}
    common |= {"strategy": "linear-probe", "cache": "on", "cache_dir": str(folder / "cache")}
    mmt.fit(train=rows, out=str(folder / "run"), **common)
    numbers = [{"text": text, "label": value} for text, value in zip(TEXTS, (-0.5, 2.0, 10.0), strict=True)] * 8
    common |= {"cache_dir": str(folder / "other")}  # its features are of the same texts
    mmt.fit(train=numbers, target="regression", out=str(folder / "numbers"), **common)
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".CSV"])
def test_predictions_are_written_as_the_suffix_says(place, command, tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    status, printed, said = command("predict", place / "run", place / "texts.txt", "--out", out)
    assert (status, printed) == (0, ""), said
    if suffix == ".parquet":
        rows = pyarrow.parquet.read_table(out).to_pylist()
    elif suffix == ".json":
        rows = json.loads(out.read_text(encoding="utf-8"))
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    else:
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ","))
    assert [list(row) for row in rows] == [["id", "label", "score"]] * 3 and [row["id"] for row in rows] == list("012")
    quoted = suffix.lower() in (".csv", ".tsv")
    assert [row["label"] for row in rows] == ["'=1+1" if quoted else "=1+1", *LABELS[1:]]
    wanted = mmt.load(place / "run").predict(list(TEXTS))
    assert [float(row["score"]) for row in rows] == pytest.approx([one.score for one in wanted], abs=1e-6)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.pkl"])
def test_other_suffixes_are_refused_before_anything_is_read(place, command, tmp_path, name):
    status, _, said = command("predict", place / "run", place / "no-such.txt", "--out", tmp_path / name)
    assert status == 2 and "Predictions are written as .csv" in said and "name the file x.csv" in said
    assert not list(tmp_path.iterdir())


def test_numbers_stay_numbers(place, command, tmp_path):
    for suffix in (".csv", ".json", ".parquet"):
        assert command("predict", place / "numbers", place / "texts.txt", "--out", tmp_path / f"x{suffix}")[0] == 0
    with (tmp_path / "x.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert float(written[0]["label"]) < 0 and all(row["score"] == "" for row in written)
    found = json.loads((tmp_path / "x.json").read_text())
    assert [row["label"] for row in found] == [one.value for one in mmt.load(place / "numbers").predict(list(TEXTS))]
    assert found == pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist() and found[0]["score"] is None


def test_nothing_in_a_name_reaches_the_terminal_as_a_command(place, command, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for words, expected in (
        (["predict", place / "run", place / "texts.txt"], "\\x1b[31mred"),
        (["evaluate", place / "run", "--test", tmp_path / "test.jsonl"], "f1[\\x1b[31mred]"),
        (["cache", "ls", "--cache-dir", place / "cache"], "bert\\x1b[2J"),
        (["predict", place / "run", "no\x1b[2Jwhere\u202e.csv"], "no\\x1b[2Jwhere\\u202e.csv"),
        (["predict", place / "run", "no\nwhere\udcff.csv"], "no\\nwhere\\udcff.csv"),
        (["predict", place / "run", place / "texts.txt", "--out", tmp_path / "x\x1b[2J.csv"], "x\\x1b[2J.csv"),
    ):
        _, printed, said = command(*words)
        assert expected in printed + said, (words, printed, said)
        assert not {"\x1b", "\u202e", "\udcff"} & set(printed + said), (printed, said)


def test_a_terminal_that_has_not_the_letters_gets_escapes(place, monkeypatch):
    from mmtransfer import cli

    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    cli.main(["predict", str(place / "run"), str(place / "texts.txt")])
    terminal.flush()
    assert b"caf\\xe9" in terminal.buffer.getvalue()


def test_a_run_in_bf16_is_used_in_fp32_where_bf16_is_emulated(place, tmp_path, monkeypatch, caplog):
    shutil.copytree(place / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"precision": "bf16"}))
    wanted = [one.scores for one in mmt.load(place / "run").predict(list(TEXTS))]
    assert not caplog.messages
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    with caplog.at_level("WARNING"):
        found = [one.scores for one in mmt.load(tmp_path / "run").predict(list(TEXTS))]
        features = mmt.embed(tmp_path / "run", list(TEXTS)).values
    assert found == wanted and (features == mmt.embed(place / "run", list(TEXTS)).values).all()
    assert len([line for line in caplog.messages if "is used in fp32" in line]) == 2
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    assert [one.scores for one in mmt.load(tmp_path / "run").predict(list(TEXTS))] != wanted


def predicted(run: Path, source: Path, never: set[str]) -> list[list[str]]:
    """The answers of a program of its own, which must have loaded none of these libraries then; none of any before."""
    late = NEVER | LIBRARIES
    code = f"""
import sys
import mmtransfer.api
from mmtransfer.cli import main
assert not {late} & set(sys.modules), {late} & set(sys.modules)
main(["predict", {str(run)!r}, {str(source)!r}])
assert not {never} & set(sys.modules), {never} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_a_prediction_loads_no_library_that_it_does_not_need(place):
    shown = predicted(place / "run", place / "texts.txt", NEVER)
    wanted = mmt.load(place / "run").predict(list(TEXTS))
    assert [score for *_, score in shown] == [f"{one.score:.4f}" for one in wanted]


@pytest.mark.parametrize(
    ("task", "file", "needed"),
    [(IMAGE, "images/validation/a/0.png", {"torchvision"}), (SPEECH, "speech/validation/0.wav", LIBRARIES)],
    ids=["picture", "recording"],
)
def test_nor_does_that_of_one_file(tmp_path, task, file, needed):
    settings = parse(task, tiny.MAKERS[task](tmp_path), {}, "a test") | tiny.QUICK | {"strategy": "linear-probe"}
    mmt.fit(**settings, out=str(tmp_path / "run"))
    ((name, *_),) = predicted(tmp_path / "run", tmp_path / file, NEVER | (LIBRARIES - needed))
    assert name == Path(file).name


def test_a_probe_tells_the_speed_of_its_pass(place):
    for name in ("run", "numbers"):
        found = json.loads((place / name / "result.json").read_text())["throughput"]
        assert 0 < found["examples_per_second"] < found["tokens_or_seconds_of_audio_per_second"]
