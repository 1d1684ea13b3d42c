"""What training and test share, and other traps in the data, are told before training, left out or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import mmtransfer as mmt
from mmtransfer.cli.flags import parse
from mmtransfer.config import IMAGE, SPEECH, TEXT, make
from mmtransfer.data.assembly import assemble
from mmtransfer.data.sources import Columns
from mmtransfer.errors import MMTransferError

WORDS = [f"{a} {b} {c}" for a in "abcd" for b in "efgh" for c in "ij"]
"""Texts that all differ."""
TRAIN = [(text, "xy"[number % 2]) for number, text in enumerate(WORDS[:20])]
VALIDATION = [(text, "xy"[number % 2]) for number, text in enumerate(WORDS[20:26])]
TEST = [(text, "xy"[number % 2]) for number, text in enumerate(WORDS[26:])]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.text(tmp_path_factory.mktemp("duplicates"))[5]


def fit(backbone: str, out: Path, **fields: Any) -> dict[str, Any]:
    common = {"weights": "none", "strategy": "linear-probe", "threads": 1, "cache": "off", "max_length": 32}
    given = {"train": TRAIN, "validation": VALIDATION, "test": TEST, **fields}
    return mmt.fit(task=TEXT, backbone=backbone, out=str(out), **common, **given).result


def tables(**fields: Any) -> dict[str, Any]:
    given = {"task": TEXT, "train": TRAIN, "validation": VALIDATION, "test": TEST, **fields}
    return assemble(make(given, "a test"), "text", Columns())


def test_nothing_is_told_of_data_in_order(backbone: str, tmp_path: Path) -> None:
    result = fit(backbone, tmp_path / "run")
    assert result["findings"] == [] and result["warnings"] == []


def test_everything_is_told_in_one_block(backbone: str, tmp_path: Path) -> None:
    train = [*TRAIN, ("a e i", "y"), ("new words", "x "), ("more words", "cafe\u0301"), ("words", "caf\u00e9")]
    test = [*TEST, TRAIN[3], (f"  {TRAIN[4][0].upper()} ", "x"), ("b e  j", "x")]
    result = fit(backbone, tmp_path / "run", train=train, test=test)
    found = {(one["kind"], *one["splits"]): one for one in result["findings"]}
    assert found.keys() == {
        ("equal", "test", "train"),
        ("near-equal", "test", "train"),
        ("contradicting", "train", "validation", "test"),
        ("label-twins", "train", "validation", "test"),
        ("small-classes", "train"),
    }
    assert (found["equal", "test", "train"]["count"], found["equal", "test", "train"]["of"]) == (1, 9)
    near = found["near-equal", "test", "train"]
    assert near["count"] == 2 and near["examples"][0] == "test '7' is train '4': '  A G I '"
    opposite = found["contradicting", "train", "validation", "test"]
    assert opposite["count"] == 4 and opposite["examples"][0] == "train '0' is 'x' and train '20' is 'y': 'a e i'"
    twins = found["label-twins", "train", "validation", "test"]
    assert twins["count"] == 2 and "'cafe\\u0301' (1) and 'caf\\xe9' (1)" in twins["examples"]
    assert "'x ' (1)" in " ".join(twins["examples"])
    small = found["small-classes", "train"]
    assert (small["count"], small["of"]) == (3, 5) and len(small["examples"]) == 2
    (block,) = [line for line in result["warnings"] if "the data were looked through" in line]
    assert all(one["line"] in block for one in result["findings"])
    assert "--duplicates drop" in block
    assert result["data"]["train"]["n"] == 24, "told, and no more"


def test_testing_on_the_training_data_is_told(backbone: str, tmp_path: Path) -> None:
    result = fit(backbone, tmp_path / "run", validation=None, test=TRAIN)
    (train,) = [one for one in result["findings"] if one["splits"] == ["test", "train"]]
    assert (train["kind"], train["count"], train["of"]) == ("equal", 20, 20)
    assert result["status"] == "finished"


def test_duplicates_are_dropped_from_the_training_data(backbone: str, tmp_path: Path) -> None:
    test = [*TEST, TRAIN[3], (TRAIN[4][0].upper(), "x")]
    result = fit(backbone, tmp_path / "run", test=test, duplicates="drop")
    assert result["findings"] == [] and result["data"]["train"]["n"] == 18 and result["data"]["test"]["n"] == 8
    assert result["data"]["train"]["skipped"] == [
        {"id": "3", "reason": "it is in the test data as well, as '6'"},
        {"id": "4", "reason": "it is in the test data as well, as '7'"},
    ]
    assert any(line.startswith("2 training examples are left out") for line in result["warnings"])


def test_what_a_cut_has_parted_is_dropped_as_well() -> None:
    train = [(text, label) for text, label in TRAIN for _ in range(2)]
    whole, left = (tables(train=train, validation=None, duplicates=policy) for policy in ("warn", "drop"))
    assert left["validation"].ids == whole["validation"].ids
    texts = {split: left[split].column("text") for split in left}
    assert not set(texts["train"]) & set(texts["validation"]) and len(texts["train"]) < len(whole["train"])
    # what the test data hold goes before the cut: validation has its share of what is left
    test = [*TEST, *TRAIN[:10]]
    left = tables(train=TRAIN, validation=None, test=test, duplicates="drop")
    assert len(left["train"]) + len(left["validation"]) == 10
    assert tables(duplicates="drop")["train"].ids == tables()["train"].ids, "nothing to drop"


def test_duplicates_are_refused() -> None:
    with pytest.raises(MMTransferError) as caught:
        tables(test=[*TEST, TRAIN[3]], duplicates="error")
    assert caught.value.what.startswith("1 of 7 test examples is in the training data as well: test '6' is train '3'")
    assert caught.value.where == "--duplicates error" and "--duplicates drop" in caught.value.do
    with pytest.raises(MMTransferError, match="All 6 test examples are in the validation data as well"):
        tables(test=VALIDATION, duplicates="error")
    assert tables(duplicates="error").keys() == {"train", "validation", "test"}
    with pytest.raises(MMTransferError, match="All training examples are in the validation or test data as well"):
        tables(test=TRAIN, duplicates="drop")


def test_pictures_are_compared_by_their_bytes(tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    flags, folder = tiny.images(tmp_path), tmp_path / "images"
    shutil.copytree(folder / "validation", folder / "test")
    shutil.copy(folder / "train/a/3.png", folder / "test/b/again.png")
    words = ["fit", IMAGE, *flags, "--test", folder / "test", "--weights", "none", "--epochs", 1, "--threads", 1]
    status, _, said = command(*words, "--strategy", "linear-probe", "--out", tmp_path / "run")
    assert status == 0
    findings = json.loads((tmp_path / "run/result.json").read_text())["findings"]
    assert [(one["kind"], one["splits"], one["count"]) for one in findings] == [
        ("equal", ["test", "train"], 1),
        ("equal", ["test", "validation"], 12),
        ("contradicting", ["train", "validation", "test"], 2),
    ]
    assert findings[0]["examples"] == ["test 'b/again.png' is train 'a/3.png'"]
    assert findings[2]["examples"] == ["train 'a/3.png' is 'a' and test 'b/again.png' is 'b'"]
    assert said.count("Before training, the data were looked through:") == 1
    status, _, said = command(*words, "--duplicates", "error", "--out", tmp_path / "refused")
    assert status == 2 and "1 of 13 test examples is in the training data as well" in said
    assert not (tmp_path / "refused").exists()


def test_recordings_with_two_transcripts(tmp_path: Path) -> None:
    flags, folder = tiny.speech(tmp_path), tmp_path / "speech/train"
    shutil.copy(folder / "0.wav", folder / "again.wav")
    with (folder / "metadata.csv").open("a") as file:
        file.write("again.wav,b,s0\n")
    given = parse(SPEECH, flags, {}, "a test") | {"weights": "none", "epochs": 1, "threads": 1, "cache": "off"}
    result = mmt.fit(**given, out=str(tmp_path / "run")).result
    (finding,) = result["findings"]
    assert finding["examples"] == ["train '0.wav' is 'a' and train 'again.wav' is 'b'"]
    assert "2 of 61 examples are of equal inputs with different transcripts" in finding["line"]


def test_the_same_rows_in_another_order_have_the_same_content(backbone: str, tmp_path: Path) -> None:
    shuffled = [TEST[number] for number in np.random.default_rng(0).permutation(len(TEST))]
    first, again = (fit(backbone, tmp_path / f"run{n}", test=rows) for n, rows in enumerate((TEST, shuffled)))
    other = fit(backbone, tmp_path / "other", test=[*TEST[:-1], (TEST[-1][0], "x")])
    prints = [[one["data"]["test"][name] for one in (first, again, other)] for name in ("content", "fingerprint")]
    assert prints[0][0] == prints[0][1] != prints[0][2]
    assert len(set(prints[1])) == 3
