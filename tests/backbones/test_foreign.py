"""Others' checkpoints: their code is never run nor asked for, their pickles never read, both are refused by name."""

from __future__ import annotations

import ast
import builtins
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers

from mmtransfer import backbones
from mmtransfer.config import IMAGE, TEXT
from mmtransfer.errors import MMTransferError

ROOT = Path(__file__).parents[2]
Command = Callable[..., tuple[int, str, str]]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.place,)


@pytest.fixture(autouse=True)
def eager_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who answers yes to whatever is asked on the terminal."""
    torch.manual_seed(0)
    monkeypatch.setattr(builtins, "input", lambda *words: "y")


def trojan(folder: Path, settings: dict[str, Any]) -> Path:
    """Puts code of its own beside a tokenizer; returns the file that exists once the code has run."""
    ran = folder.parent / "ran"
    code = "from transformers import BertTokenizer\nclass Mine(BertTokenizer):\n    pass\n"
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()\n{code}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Mine", **settings}))
    return ran


def texts(folder: Path) -> list[str]:
    return [*tiny.text(folder), "--weights", "none", "--strategy", "linear-probe", "--threads", "1"]


def calls_without(folder: Path) -> list[str]:
    """Calls of `from_pretrained` in a folder's code that do not say `trust_remote_code=False`."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "from_pretrained":
                said = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                if said.get("trust_remote_code") is not False:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_every_call_says_that_no_code_is_to_be_run() -> None:
    assert calls_without(ROOT / "mmtransfer") + calls_without(ROOT / "benchmarks") == []


@pytest.mark.parametrize("auto_map", [{"AutoTokenizer": ["mine.Mine", "mine.Mine"]}, ["mine.Mine", None]])
def test_a_tokenizer_that_is_code_is_refused_and_not_replaced(command: Command, tmp_path: Path, auto_map: Any) -> None:
    words = texts(tmp_path)
    ran = trojan(tmp_path / "bert", {"auto_map": auto_map})
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 2 and not ran.exists() and not (tmp_path / "run").exists()
    assert "The tokenizer is code of the checkpoint's own (mine.Mine" in said and "never run" in said


def test_the_folder_of_a_run_runs_no_code_either(command: Command, tmp_path: Path) -> None:
    assert command("fit", TEXT, *texts(tmp_path), "--out", tmp_path / "run")[0] == 0
    model = tmp_path / "run" / "model"
    ran = trojan(model, {"auto_map": {"AutoTokenizer": [None, "mine.Mine"]}})
    (model / "config.json").write_text("{}")
    (model / "manifest.json").unlink(missing_ok=True)  # whoever sends a run can send one that fits
    status, _, said = command("predict", tmp_path / "run", tmp_path / "validation.csv")
    assert status == 2 and not ran.exists() and not (tmp_path / "ran").exists()
    assert "tokenizer_config.json" in said and "never run" in said


def test_a_model_type_that_is_code_is_refused_as_such(command: Command, tmp_path: Path) -> None:
    words = texts(tmp_path)
    settings = {"model_type": "novel", "auto_map": {"AutoConfig": "c.NovelConfig", "AutoModel": "m.NovelModel"}}
    (tmp_path / "bert" / "config.json").write_text(json.dumps(settings))
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 2 and "The model type 'novel' is code of the checkpoint's own (m.NovelModel" in said


def test_a_known_model_type_with_code_beside_it_is_read_without_it_aloud(command: Command, tmp_path: Path) -> None:
    words = texts(tmp_path)
    path = tmp_path / "bert" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoModel": "m.NovelModel"}}))
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 0 and "names code of its own (m.NovelModel), which is never run: it is read as bert" in said


@pytest.mark.parametrize("holds", ["an object", "junk"])
def test_pickles_beside_a_tokenizer_are_refused_by_name(command: Command, tmp_path: Path, holds: str) -> None:
    words = texts(tmp_path)
    words[words.index("--weights") : words.index("--weights") + 2] = []
    file = tmp_path / "bert" / "pytorch_model.bin"
    if holds == "junk":
        file.write_bytes(b"junk")
    else:
        torch.save({"embeddings.word_embeddings.weight": Evil(tmp_path / "made")}, file)
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 2 and "pytorch_model.bin" in said and not (tmp_path / "made").exists(), said
    assert "do those steps only if you trust" not in said
    if holds == "an object":
        assert "it holds more than tensors: posix.mkdir, which is never unpickled" in said


def test_pickles_given_as_weights_are_refused_by_name(command: Command, tmp_path: Path) -> None:
    torch.save({"conv1.weight": Evil(tmp_path / "made")}, tmp_path / "w.pth")
    words = [*tiny.images(tmp_path), "--weights", tmp_path / "w.pth", "--out", tmp_path / "run"]
    status, _, said = command("fit", IMAGE, *words)
    assert status == 2 and "it holds more than tensors: posix.mkdir" in said and "w.pth" in said
    assert "only if you trust" not in said and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("tokenizer.json", '{"model": {"type": "Nonesuch"}}'), ("tokenizer_config.json", "[]")]
)
def test_a_tokenizer_file_that_cannot_be_parsed_is_told(
    command: Command, tmp_path: Path, name: str, content: str
) -> None:
    words = texts(tmp_path)
    (tmp_path / "bert" / name).write_text(content)
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 2 and "the tokenizer's files" in said


def test_checkpoints_in_pickles_of_tensors_are_read(command: Command, tmp_path: Path) -> None:
    words = texts(tmp_path)
    words[words.index("--weights") : words.index("--weights") + 2] = []
    config = transformers.BertConfig.from_pretrained(tmp_path / "bert")
    torch.save(transformers.BertModel(config).state_dict(), tmp_path / "bert" / "pytorch_model.bin")
    assert command("fit", TEXT, *words, "--out", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(
    "content", ["null", "3", '"bert"', '{"model_type": "bert", "hidden_size": "wide"}', '[{"a": 1}]']
)
def test_a_configuration_that_is_none_is_told_by_its_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    for weights in (None, "none"):
        with pytest.raises(MMTransferError) as error:
            backbones.load(str(tmp_path), weights, "text")
        assert str(tmp_path) in error.value.where


def test_a_configuration_with_half_a_character_is_written_again(tmp_path: Path, command: Callable[..., Any]) -> None:
    flags = tiny.text(tmp_path)
    place = tmp_path / "bert" / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"note": "\ud800"}))
    words = [*flags, "--weights", "none", "--epochs", "1", "--threads", "1", "--cache", "off"]
    status, _, said = command("fit", TEXT, *words, "--out", tmp_path / "run")
    assert status == 0, said
    assert json.loads((tmp_path / "run/model/config.json").read_text())["note"] == "\ud800"
