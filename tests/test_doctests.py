"""The examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import inspect
import shutil
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
import tiny
import torch

import mmtransfer as mmt
from mmtransfer.config import TEXT

ROOT = Path(mmt.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text()
]
"""Told by their text: to import all of them takes seconds, in each process."""
GOOD, BAD = ("good", "great"), ("bad", "awful")
NOUNS = ("film", "book", "play", "song", "story", "scene", "cast", "plot", "voice", "tune", "end")
WORDS = ["a", "an", *GOOD, *BAD, *NOUNS]


@pytest.fixture(scope="module")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What examples may name: train.csv, test.csv, path/to/bert, path/to/other, and the finished runs runs/a, runs/b.

    The data are so easy that all answers are right, whatever the machine.
    """
    folder = tmp_path_factory.mktemp("examples")
    torch.manual_seed(0)
    for name, width in (("bert", 32), ("other", 16)):
        changes = {"hidden_size": width, "max_position_embeddings": 128, "initializer_range": 0.1}
        tiny.bert(folder / "path/to" / name, WORDS, weights=True, **changes)
    pairs = list(enumerate(product((*GOOD, *BAD), NOUNS)))
    for split, places in (("train", (0, 1)), ("test", (2,))):
        rows = [f"a {word} {noun},{label(word)}" for number, (word, noun) in pairs if number % 3 in places]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    settings = {"task": TEXT, "strategy": "linear-probe", "threads": 1, "backbone": "path/to/bert"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, pooling in (("a", "mean"), ("b", "cls")):
            mmt.fit(**settings, train="train.csv", test="test.csv", pooling=pooling, out=f"runs/{name}")
    return folder


def label(word: str) -> str:
    return "positive" if word in GOOD else "negative"


def run_examples(module: ModuleType) -> tuple[doctest.TestResults, str]:
    """How many ran and how many failed, and what is said of those; they call the package `mmt`."""
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for example in doctest.DocTestFinder().find(module, extraglobs={"mmt": mmt}):
        runner.run(example, out=said.append)
    return doctest.TestResults(runner.failures, runner.tries), "".join(said)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str, working_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(working_folder, tmp_path / "here"))
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("mmtransfer"):
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    results, said = run_examples(module)
    assert results.attempted and not results.failed, said


def test_what_is_public_has_an_example() -> None:
    named = [getattr(mmt, name) for name in mmt.__all__]
    public = [value for value in named if not inspect.ismodule(value)]
    public += [getattr(mmt.heads, name) for name in ("LinearHead", "MLPHead", "CTCHead")]
    public += [mmt.strategies.STRATEGIES[name] for name in mmt.strategies.STRATEGIES]
    public += [getattr(mmt.metrics, name) for name in ("Accuracy", "F1", "WER", "EntityF1")]
    public += [mmt.Run.predict, mmt.Run.evaluate, mmt.Run.embed, mmt.backbones.load, mmt.tasks, mmt]
    assert [value for value in public if ">>>" not in (inspect.getdoc(value) or "")] == []


def test_a_wrong_example_fails() -> None:
    results, said = run_examples(ModuleType("wrong", ">>> 1 + 1\n3\n"))
    assert results == (1, 1) and "Got:\n    2" in said
