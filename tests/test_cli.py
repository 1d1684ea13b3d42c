"""The words of the command line: flags as they are committed, refusals, what loads when, recipes.

`python tests/test_cli.py` writes tests/flags.txt, the list of all flags, after one was added, dropped or changed.
"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import tiny
import tyro

import mmtransfer
from mmtransfer import cli, strategies
from mmtransfer.cli import words as words_of_verbs
from mmtransfer.cli.flags import parse
from mmtransfer.config import AUDIO, IMAGE, SPEECH, TAGS, TEXT
from mmtransfer.errors import MMTransferError

ROOT = Path(__file__).parent.parent
FLAGS = ROOT / "tests" / "flags.txt"
RECIPES = {
    IMAGE: "image_cls.py",
    TEXT: "text_cls.py",
    SPEECH: "speech_rec.py",
    AUDIO: "audio_cls.py",
    TAGS: "token_cls.py",
}


class Built(Exception):
    """What a command line gave to tyro instead of being parsed."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind


def asked(words: list[str]) -> list[str]:
    """The flags and positional words that `mmtransfer WORDS` understands, one line each, with types and defaults."""

    def stop(kind: type, **_: object) -> None:
        raise Built(kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tyro, "cli", stop)
        with pytest.raises(Built) as built:
            cli.dispatch(words)
    kind = built.value.kind
    return [spelled(field, hint) for field, hint in zip(fields(kind), hints(kind), strict=True)]


def hints(kind: type) -> list[object]:
    return list(typing.get_type_hints(kind, include_extras=True).values())


def spelled(field: typing.Any, hint: typing.Any) -> str:
    """`--epochs int = 10`; without `=` where a value must be given."""
    extras = getattr(hint, "__metadata__", ())
    names = [name for extra in extras if (name := getattr(extra, "name", None))]
    positional = tyro.conf.Positional in extras or any("Positional" in repr(extra) for extra in extras)
    name = field.name.upper() if positional else "--" + (names or [field.name.replace("_", "-")])[0]
    return f"{name} {plain(hint)}" + ("" if field.default is MISSING else f" = {field.default}")


def plain(hint: typing.Any) -> str:
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return plain(given[0])
    if origin is typing.Literal:
        return "|".join(map(str, given))
    if origin in (typing.Union, types.UnionType):
        return "|".join(map(plain, given))
    if hint is types.NoneType:
        return "None"
    return getattr(hint, "__name__", str(hint)) + (f"[{', '.join(map(plain, given))}]" if given else "")


def verbs() -> list[str]:
    return [
        verb
        for verb in re.findall(r"^  (\w+) ", cli.USAGE, re.MULTILINE)
        if verb not in ("fit", "rank", "auto", "sweep")
    ]


def listing() -> str:
    """All flags: of every task, of every strategy, of every other verb."""
    parts = {f"fit {task}": [flag for flag in asked(["fit", task]) if "--strategy." not in flag] for task in RECIPES}
    for name in strategies.STRATEGIES:
        given = asked(["fit", TEXT, "--train", "x", "--strategy", name])
        parts[f"--strategy {name}"] = [flag for flag in given if flag.startswith("--strategy.")]
    parts |= {verb: asked([verb]) for verb in verbs()}
    lines = ["# All flags. `python tests/test_cli.py` writes this file."]
    for title, flags in parts.items():
        lines += ["", title, *(f"  {flag}" for flag in flags)]
    return "\n".join(lines) + "\n"


def test_the_flags_are_those_that_are_committed():
    assert listing() == FLAGS.read_text(), "run `python tests/test_cli.py` if the change is meant"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fit", TEXT, "--epoch", "3"], ["Unknown option --epoch", "did you mean --epochs"]),
        (["fit", TEXT, "--image-size", "3"], [f"{TEXT} does not read --image-size", f"leave it out ({IMAGE})"]),
        (["fit", TEXT, "--task", TEXT], ["does not read --task", "fit, as a word"]),
        (["fit", TEXT, "--strategy", "linear-prob"], ["Unknown strategy 'linear-prob'", "did you mean linear-probe"]),
        (
            ["fit", TEXT, "--strategy", "full", "--strategy.n", "1"],
            ["full has no option --strategy.n", "one of partial"],
        ),
        (["fit", TEXT, "--repeats", "0"], ["--repeats must be 1 or more, not 0"]),
        (["fit", TEXT, "--resume", "--out", "x", "--versus-scratch"], ["not with its control", "--strategy scratch"]),
        (["rank", TEXT, "--train", "x", "--backbones=builtn"], ["Unknown backbone 'builtn'"]),
        (["rank", TEXT, "--train", "x", "--backbones", "a", "--repeats", "3"], ["rank does not read --repeats"]),
        (
            ["fit", TEXT, "--strategy=partial", "--strategy.m", "1"],
            ["no option --strategy.m", "strategy.n"],
        ),
        (["fit", "text"], ["Unknown task 'text'", TEXT]),
        (["fti"], ["Unknown verb 'fti'", "did you mean fit"]),
        (["predict", "a", "b", "--uot", "x"], ["Unknown option --uot", "did you mean --out"]),
        (["evaluate", "a", "--tset", "x"], ["Unknown option --tset", "did you mean --test"]),
        (["fit", TEXT, "--config", "none.json"], ["No such configuration file", "--config none.json"]),
        (["fit", TEXT, "--train", "builtin:library", "--epochs", "0"], ["--epochs must be more than 0"]),
        (["predict", "no-such-run", "x"], ["Not a run folder", "no-such-run"]),
    ],
    ids=" ".join,
)
def test_a_word_that_is_not_known_is_three_lines_and_status_2(command, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    status, printed, said = command(*words)
    assert status == 2 and not printed
    assert [line.split(":")[0].strip() for line in said.splitlines()] == ["error", "where", "do"]
    assert all(part in said for part in expected), said
    assert not any(tmp_path.iterdir())


def test_words_with_their_values_are_taken_out():
    assert words_of_verbs.taken(["x"], "--folds") == ([], ["x"])


def test_a_value_of_another_type_is_status_2(command):
    status, printed, said = command("fit", TEXT, "--epochs", "many")
    assert status == 2 and "Traceback" not in said + printed and "--epochs" in said + printed


def test_options_of_the_usual_strategy_in_a_configuration_are_kept(tmp_path):
    (tmp_path / "some.json").write_text(json.dumps({"task": TEXT, "strategy_options": {"head_epochs": 2}}))
    given = parse(TEXT, ["--config", str(tmp_path / "some.json")], {}, "a test")
    assert given["strategy_options"] == {"head_epochs": 2}
    other = parse(TEXT, ["--config", str(tmp_path / "some.json"), "--strategy", "linear-probe"], {}, "a test")
    assert "strategy_options" not in other


def test_a_configuration_without_a_task_is_of_the_task_that_is_run(tmp_path):
    chosen = {"lr": 1e-4, "epochs": 10, "max_length": 64}  # the first two are the defaults of images
    (tmp_path / "some.json").write_text(json.dumps(chosen))
    given = parse(TEXT, ["--config", str(tmp_path / "some.json")], {}, "a test")
    assert {name: given.get(name) for name in chosen} == chosen


def test_a_configuration_file_is_checked_as_flags_are(command, tmp_path):
    (tmp_path / "typed.json").write_text(json.dumps({"task": TEXT, "epoch": 3}))
    status, _, said = command("fit", TEXT, "--config", tmp_path / "typed.json", "--train", "x")
    assert status == 2 and "Unknown setting 'epoch'" in said and "did you mean epochs" in said


def test_debug_shows_the_trace():
    with pytest.raises(MMTransferError, match="Unknown verb"):
        cli.main(["fti", "--debug"])


def test_importing_and_help_load_no_library_of_weight():
    helps = [
        ["--help"],
        ["fit"],
        *(["fit", task, "--help"] for task in RECIPES),
        *([verb, "--help"] for verb in verbs()),
    ]
    code = f"""
import contextlib, io, sys
import mmtransfer
from mmtransfer.cli import main
for words in {helps}:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main(words)
    assert "usage" in printed.getvalue(), words
for words in {[["list", what] for what in ("tasks", "strategies", "data", "backbones", "runs")]}:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(words)
    assert words[1] in printed.getvalue(), words
absent = [["predict", "none", "x"], ["report", "none"], ["worst", "none"]]
absent += [[verb, "{TEXT}", "--train", "none.csv"] for verb in ("fit", "auto")]
for words in (["fti"], ["predict"], ["fit", "{TEXT}", "--epochs", "x"], *absent):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main(words)
    assert "do: " in said.getvalue(), words
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "transformers", "datasets", "accelerate"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("name", mmtransfer.__all__)
def test_public_names_import_in_both_spellings(name):
    there: dict[str, object] = {}
    exec(f"from mmtransfer import {name}", there)
    assert there[name] is getattr(mmtransfer, name)
    assert name in dir(mmtransfer)


def test_a_function_keeps_its_name_after_the_module_of_that_name_is_imported():
    code = """
import mmtransfer
import mmtransfer.rank
from mmtransfer.rank import Ranked, rank
assert mmtransfer.rank is rank and callable(rank), mmtransfer.rank
assert mmtransfer.heads.__name__ == "mmtransfer.heads"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_name_that_is_not_public_is_refused_with_those_that_are():
    with pytest.raises(AttributeError, match="has no attribute 'fti'; it has .*fit"):
        mmtransfer.fti  # noqa: B018


@pytest.mark.parametrize("task", RECIPES)
def test_a_recipe_is_fit_with_its_task(command, task, tmp_path, monkeypatch):
    made = tiny.MAKERS[task](tmp_path)
    flags = [*made, "--weights", "none", "--epochs", "1", "--threads", "1"]
    status, _, said = command("fit", task, *flags, "--out", tmp_path / "verb")
    assert status == 0, said
    monkeypatch.setattr(sys, "argv", [RECIPES[task], *flags, "--out", str(tmp_path / "recipe")])
    runpy.run_path(str(ROOT / "recipes" / RECIPES[task]), run_name="__main__")
    one, other = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("verb", "recipe"))
    assert one | {"out": None} == other | {"out": None}


if __name__ == "__main__":
    FLAGS.write_text(listing())
