"""The README keeps its word: every command line parses and runs, every name of its Python is there."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import tyro

import mmtransfer
from mmtransfer import cli
from mmtransfer.config import FIELDS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def everything() -> str:
    """The lines of the bash blocks and the commands of the inline code."""
    inline = [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", PAGE)]
    return "\n".join(
        [*blocks("bash"), *(code for code in inline if re.search(r"recipes/\w+\.py .|mmtransfer \w+ .", code))]
    )


def commands(text: str) -> list[list[str]]:
    """What the lines say to this project's commands, as words from `mmtransfer` or the recipe on."""
    found = []
    for line in re.split(r"&&|\n", text.replace("\\\n", " ")):
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            if word == "mmtransfer" or re.fullmatch(r"recipes/\w+\.py", word):
                found.append([word, *(w for w in words[place + 1 :] if w != "...")])
                break
    return found


class Parsed(Exception):
    """A command line that tyro took."""


@pytest.mark.parametrize("words", [words for words in commands(everything()) if "TASK" not in words], ids=" ".join)
def test_every_command_line_parses(words, monkeypatch):
    parse = tyro.cli

    def stop(*given, **named):
        parse(*given, **named)
        raise Parsed

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tyro, "cli", stop)
    with pytest.raises(Parsed):
        if words[0] == "mmtransfer":
            cli.main(words[1:])
        else:
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")


def stand_in(folder: Path) -> None:
    """Puts small data and weights where the README's commands look for a user's."""
    import torch
    import transformers
    from PIL import Image
    from torchvision.models import get_model, get_model_weights

    (folder / "recipes").symlink_to(ROOT / "recipes")
    for place in ("train/ant", "train/bee", "val/ant", "val/bee"):
        (folder / "pictures" / place).mkdir(parents=True)
        for number in range(2):
            shade = (90 + 9 * number, 40, 60) if place.endswith("ant") else (50, 90 + 9 * number, place.count("v"))
            Image.new("RGB", (32, 32), shade).save(folder / "pictures" / place / f"{number}.png")
    Image.new("RGB", (32, 32), (99, 40, 60)).save(folder / "picture.jpg")
    for name in ("resnet50", "resnet18", "mobilenet_v2", "squeezenet1_1"):
        # a file that is there is not downloaded, nor is its checksum looked at
        file = folder / "torch/hub/checkpoints" / Path(get_model_weights(name).DEFAULT.url).name
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(get_model(name).state_dict(), file)
    tiny.text(folder)
    (folder / "validation.csv").rename(folder / "test.csv")
    tiny.speech(folder)
    (folder / "speech/validation").rename(folder / "speech/test")
    for make, place in ((tiny.sounds, "sounds"), (tiny.words, "words")):
        (folder / "other" / place).mkdir(parents=True)
        make(folder / "other" / place)
    (folder / "other/sounds/speech").rename(folder / "sounds")
    (folder / "sounds/validation").rename(folder / "sounds/test")
    (folder / "other/words/train.conll").rename(folder / "train.conll")
    (folder / "other/words/validation.conll").rename(folder / "test.conll")
    bert = transformers.AutoConfig.from_pretrained(folder / "bert", max_position_embeddings=128)
    transformers.AutoModel.from_config(bert).save_pretrained(folder / "path/to/bert")
    transformers.AutoTokenizer.from_pretrained(folder / "bert").save_pretrained(folder / "path/to/bert")
    wav2vec2 = transformers.AutoConfig.from_pretrained(folder / "wav2vec2")
    transformers.AutoModel.from_config(wav2vec2).save_pretrained(folder / "path/to/wav2vec2")


SETUP, UNAIDED = "pip install", "accelerate launch recipes/"


def test_the_blocks_for_the_users_data_run(command, tmp_path, monkeypatch):
    """In this process and without the launcher: eleven starts of Python would be two minutes."""
    stand_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    given = [block for block in blocks("bash") if SETUP not in block and UNAIDED not in block]
    given = [block.replace("--max-minutes 10", "--max-minutes 0.2") for block in given]
    for words in commands("\n".join(given)):
        if "runs/NAME" in words and not (tmp_path / "runs/NAME").exists():
            (tmp_path / "runs/probe").rename(tmp_path / "runs/NAME")
        if words[0] == "mmtransfer":
            status, _, said = command(*words[1:])
            assert status == 0, said
        else:
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 8 and (tmp_path / "features.parquet").exists()


def test_the_first_lines_of_python_print_what_they_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], "README.md", "exec", dont_inherit=True), {})
    printed, said = (text.split("\n") for text in (capsys.readouterr().out, blocks("text")[0]))
    numbers = [[float(word) for word in re.findall(r"\d\.\d+", "\n".join(lines))] for lines in (printed, said)]
    assert [re.sub(r"\d\.\d+", "", line) for line in printed] == [re.sub(r"\d\.\d+", "", line) for line in said]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)  # another processor rounds otherwise


NUMBER = re.compile(r"-?\d+\.\d+")
LONG = ("speech-recognition", " auto ")
"""Of commands that take a minute or more."""


def shown() -> list[Any]:
    """The console blocks, those that take long marked so."""
    found = blocks("console")
    return [
        pytest.param(block, marks=pytest.mark.slow if any(word in block for word in LONG) else (), id=block.split()[2])
        for block in found
    ]


@pytest.mark.parametrize("block", shown())
def test_commands_print_the_lines_that_stand_below_them(block, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for part in block.split("$ ")[1:]:
        words, *expected = part.replace("\\\n", " ").splitlines()
        status, printed, said = command(*shlex.split(words)[1:])
        assert status == 0, said
        lines = [line.rstrip() for line in (said + printed).splitlines()]
        wanted = [line for line in expected if line not in ("...", "")]
        assert wanted
        for line in wanted:
            alike = [one for one in lines if NUMBER.sub("", one) == NUMBER.sub("", line)]
            values = [[float(word) for word in NUMBER.findall(one)] for one in (line, *alike)]
            near = [value for value in values[1:] if value == pytest.approx(values[0], abs=0.03)]
            assert near, f"{words} does not print {line!r} but\n" + "\n".join(lines)


@pytest.mark.slow
def test_the_recipes_run_without_arguments(tmp_path):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (given,) = [block for block in blocks("bash") if UNAIDED in block]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ["bash", "-euo", "pipefail", "-c", given]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("runs/*-scratch/result.json"))) == 5


def test_the_set_up_blocks_are_what_ci_does():
    given = [block for block in blocks("bash") if SETUP in block]
    script = (ROOT / ".ci/run").read_text()
    assert len(given) == 2 and "pip install --quiet -c constraints.txt -e" in script
    assert all(block.split("&&")[-1].strip() in script for block in given)


def test_there_are_command_lines_of_every_recipe_and_verb():
    firsts = {words[0] if words[0] != "mmtransfer" else words[1] for words in commands(everything())}
    assert firsts >= {f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.py")} | {"predict", "evaluate"}


def test_the_files_that_command_lines_name_are_there():
    for name in re.findall(r"\b(?:recipes|benchmarks)/[\w./]+\.\w+\b", PAGE):
        assert (ROOT / name).exists(), name


def test_python_blocks_compile_and_use_names_that_exist():
    assert blocks("python")
    for block in blocks("python"):
        tree = ast.parse(block)
        paths = [path.split(".")[1:] for path in re.findall(r"\bmmt(?:\.\w+)+", block)]
        assert paths
        for path in paths:
            value: object = mmtransfer
            for name in path:
                value = getattr(value, name)
        for name in re.findall(r"(?:\brun|\bmmt\.load\([^)]*\))\.(\w+)", block):
            assert hasattr(mmtransfer.Run, name), name
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "mmt.fit":
                assert {keyword.arg for keyword in call.keywords} <= set(FIELDS)
