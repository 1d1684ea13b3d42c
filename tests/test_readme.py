"""The README keeps its word: every command line parses, every name of its Python is there."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import tyro

import mmtransfer
from mmtransfer import cli
from mmtransfer.config import FIELDS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """What the bash blocks and the inline code say to this project's commands, as words from `mmtransfer` or the
    recipe on."""
    inline = [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", PAGE)]
    text = "\n".join(
        [*blocks("bash"), *(code for code in inline if re.search(r"recipes/\w+\.py .|mmtransfer \w+ .", code))]
    )
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


@pytest.mark.parametrize("words", [words for words in commands() if "TASK" not in words], ids=" ".join)
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


def test_there_are_command_lines_of_every_recipe_and_verb():
    firsts = {words[0] if words[0] != "mmtransfer" else words[1] for words in commands()}
    assert firsts >= {"recipes/image_cls.py", "recipes/text_cls.py", "recipes/speech_rec.py", "predict", "evaluate"}


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
