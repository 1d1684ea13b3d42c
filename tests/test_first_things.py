"""The first things that somebody types who has never used it: each gets an answer that helps.

Those that need no model are answered without torch, which `test_cli.py` counts; here they run in this process.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import typing
from pathlib import Path
from typing import Any

import pytest

from mmtransfer import cli
from mmtransfer.cli import completion, layout
from mmtransfer.cli.listing import Kind
from mmtransfer.config import TASKS, TEXT
from mmtransfer.config.supplied import BACKBONES, DATA
from mmtransfer.strategies import STRATEGIES

EARLIER = Path(__file__).parent / "earlier/0.1.0.tar.xz"
ANSWERED = [
    ([], 0, ["usage: mmtransfer VERB", "fit TASK", "To begin: mmtransfer fit"]),
    (["--help"], 0, ["usage: mmtransfer VERB", "list WHAT"]),
    (["help"], 0, ["usage: mmtransfer VERB"]),
    (["help", "predict"], 0, ["usage: mmtransfer predict RUN INPUT"]),
    (["--version"], 0, ["mmtransfer 0."]),
    (["fti", "text-classification"], 2, ["Unknown verb 'fti'", "did you mean fit?"]),
    (["train", "text-classification"], 2, ["Unknown verb 'train'", "did you mean fit?"]),
    (["models"], 2, ["did you mean list backbones?"]),
    (["fit"], 0, ["usage: mmtransfer fit TASK", *TASKS, "--train builtin"]),
    (["fit", "--train", "x"], 2, ["No task is named", "name one before --train", *TASKS]),
    (["auto", "--train", "x"], 2, ["No task is named", "mmtransfer auto TASK"]),
    (["auto", TEXT, "--train", "x", "--max-minutes", "two"], 2, ["--max-minutes must be a number, not 'two'"]),
    (["fit", TEXT, "--trian", "x"], 2, ["did you mean --train? ("]),
    (["fit", "images"], 2, ["Unknown task 'images'", "image-classification"]),
    (["fit", TEXT], 2, ["There is no training data", "--train builtin:library"]),
    (["fit", TEXT, "train.csv"], 2, ["has no place for 'train.csv'", "put a flag before it"]),
    (["fit", TEXT, "--train", "trian.csv"], 2, ["No such file", "trian.csv"]),
    (["fit", TEXT, "--train"], 2, ["--train has no value"]),
    (["fit", TEXT, "--train", "x", "--epochs", "ten"], 2, ["--epochs must be a whole number, not 'ten'"]),
    (["fit", TEXT, "--train", "x", "--lr", "fast"], 2, ["--lr must be a number, not 'fast'"]),
    (["fit", TEXT, "--train", "x", "--head", "big"], 2, ["--head cannot be 'big'", "linear, mlp"]),
    (["fit", TEXT, "--train", "x", "--dry-run", "--report"], 2, ["--dry-run and --report exclude each other"]),
    (["fit", TEXT, "--train", "x", "--dry-run", "--repeats", "2"], 2, ["--dry-run and --repeats exclude each other"]),
    (["auto", TEXT, "--train", "x", "--dry-run", "--report"], 2, ["--dry-run and --report exclude each other"]),
    (["rank", TEXT, "--train", "x", "--report"], 2, ["rank does not read --report"]),
    (["predict"], 2, ["`mmtransfer predict` needs RUN", "mmtransfer predict --help"]),
    (["predict", "runs/none", "I like it"], 2, ["Not a run folder", "runs/none"]),
    (["evaluate", "runs/none"], 2, ["needs --test"]),
    (["compare"], 2, ["There are no finished runs to compare"]),
    (["list"], 2, ["`mmtransfer list` needs WHAT"]),
    (["list", "fish"], 2, ["WHAT cannot be 'fish'", "backbones"]),
    (["list", "runs"], 0, ["runs in runs: none", "mmtransfer fit TASK"]),
    (["list", "runs", "nowhere"], 2, ["No such folder", "nowhere"]),
    (["completion"], 2, ["needs SHELL"]),
]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a few finished runs."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(EARLIER) as archive:
        archive.extractall(folder, filter="data")
    return folder / "runs"


@pytest.mark.parametrize(("words", "expected", "parts"), ANSWERED, ids=[" ".join(words) for words, *_ in ANSWERED])
def test_what_is_typed_first_is_answered(command, tmp_path, monkeypatch, words, expected, parts):
    monkeypatch.chdir(tmp_path)
    status, printed, said = command(*words)
    told = said if expected else printed
    assert status == expected and all(part in told for part in parts), printed + said
    if expected:
        last = [line.split(":")[0].strip() for line in said.splitlines()[-3:]]
        assert not printed and last == ["error", "where", "do"]
    assert not any(tmp_path.iterdir())


HELPS = [
    ["--help"],
    ["fit", "--help"],
    *(["fit", task, flag] for task in TASKS for flag in ("--help", "--help-all")),
    *([verb, "--help"] for verb in cli.VERBS),
]


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_every_help_fits_the_terminal_and_names_types_in_words(command, monkeypatch, words, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    status, printed, said = command(*words)
    assert status == 0 and not said and printed.startswith("usage: mmtransfer")
    assert not any(type_ in printed for type_ in ("{None}", "STR", "(default: None)", "if None"))
    if columns == 80 or words[0] == "fit" and len(words) > 2:  # pages that are written by hand have 80 columns
        assert max(map(len, printed.splitlines())) <= columns


NO_TABLE = {"embed", "push", "report", "completion"}
"""Verbs that print a line or a script."""


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb not in NO_TABLE])
def test_what_prints_a_table_prints_json_too(command, verb):
    words = [verb, TEXT, "--help-all"] if verb == "fit" else [verb, "--help"]
    assert "  --json " in command(*words)[1]


def test_flags_are_not_broken_at_their_dashes(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    pages = [command(verb, "--help")[1] for verb in ("auto", "rank", "sweep")]
    assert not any(line.endswith("-") for page in pages for line in page.splitlines())


def test_help_shows_ten_flags_and_help_all_the_rest_in_groups(command):
    _, few, _ = command("fit", TEXT, "--help")
    _, every, _ = command("fit", TEXT, "--help-all")
    flags = [[line.split()[0] for line in page.splitlines() if line.startswith("  --")] for page in (few, every)]
    assert len(flags[0]) == 10 and {"--train", "--lr", "--out"} < set(flags[0]) < set(flags[1])
    assert f"{len(flags[1]) - 10} more flags" in few
    assert {"data:", "model:", "training:", "texts:", "answers:", "this machine:"} <= set(every.splitlines())
    _, named, _ = command("fit", TEXT, "--strategy", "lora", "--help")
    assert "--strategy.rank NUMBER" in named and "--strategy.rank" not in few


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("what", ["tasks", "strategies", "data", "backbones", "runs"])
def test_listings_fit_the_terminal(command, monkeypatch, tmp_path, earlier, what, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(earlier.parent)
    status, printed, said = command("list", what)
    assert status == 0, said
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= columns
    names = {"tasks": TASKS, "strategies": STRATEGIES, "data": DATA, "backbones": BACKBONES, "runs": ["accuracy"]}
    assert all(name in printed for name in names[what])


def test_a_listing_as_json_tells_what_is_here(command, monkeypatch, tmp_path, earlier):
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/mobilenet_v2-b0353104.pth").write_bytes(b"x" * 100)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(command("list", "backbones", "--json")[1])}
    assert rows["mobilenet_v2"] == {
        "name": "mobilenet_v2",
        "about": "in torch's cache",
        "bytes": 100,
        "licence": None,
    }
    assert rows["builtin:text"]["licence"] == "Apache-2.0" and rows["builtin:text"]["bytes"] > 5e6
    runs = json.loads(command("list", "runs", earlier, "--json")[1])
    assert runs and all({"run", "status"} <= row.keys() for row in runs)
    assert any(row["status"] == "finished" and row["low"] <= row["value"] <= row["high"] for row in runs)


def test_a_comparison_as_json(command, monkeypatch, earlier):
    monkeypatch.chdir(earlier.parent)
    status, printed, said = command("compare", "runs/image-0", "runs/image-1", "--json")
    assert status == 0, said
    found = json.loads(printed)
    assert len(found["entries"]) == 2 and found["best"] in [entry["name"] for entry in found["entries"]]
    assert found["verdicts"][0]["metric"] == "accuracy" and found["verdicts"][0]["difference"]["low"] < 1
    assert found["entries"][0]["metrics"]["accuracy"][0]["n"] > 0 and found["entries"][0]["cost"]["seconds"] > 0


def test_what_is_told_of_built_in_data_is_what_they_are():
    from mmtransfer.data.builtin import load_builtin

    kinds = {"digits": ("image", "label"), "library": ("text", "label"), "commands": ("audio", "transcript")}
    kinds |= {"keywords": ("audio", "label"), "identifiers": ("words", "tags")}
    assert kinds.keys() == DATA.keys()
    for name, (input, answer) in kinds.items():
        number = DATA[name].about.split()[0].replace(",", "")
        if number.isdigit():
            assert sum(map(len, load_builtin(name, input, answer).values())) == int(number)


def test_the_machine_in_ten_lines(command):
    status, printed, said = command("machine")
    assert status == 0 and not said and len(printed.splitlines()) == 10
    assert all(word in printed for word in ("torchaudio", "they fit each other", "bf16", "GiB free", "cache:"))
    facts = json.loads(command("machine", "--json")[1])
    assert facts["versions"]["tyro"][0].isdigit() and facts["free_memory_bytes"] > 0 and facts["cores"] >= 1


def test_a_trio_that_does_not_fit_is_told_of_the_machine(command, monkeypatch):
    from mmtransfer.cli import installation

    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(installation.importlib, "import_module", broken)
    assert "do not fit each other (operator torchvision::nms does not exist)" in command("machine")[1]


def test_ctrl_c_is_a_word_and_status_130(command, monkeypatch):
    def stopped(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "VERBS", {"fit": stopped})
    assert command("fit") == (130, "", "stopped\n")


def test_a_pipe_that_is_closed_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)  # `| head` that has seen enough
    with os.fdopen(writer, "wb") as out:
        words = [sys.executable, "-m", "mmtransfer", "list", "strategies"]
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_colours_are_off_where_that_is_asked_for_and_off_a_terminal(command, monkeypatch):
    assert "\x1b" not in command("list", "tasks")[1]
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in command("list", "tasks")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in command("list", "tasks")[1]


@pytest.mark.parametrize("columns", [80, 60, 24])
def test_a_table_keeps_all_that_it_says_in_any_width(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [["a/b", "1.0", "a long sentence that cannot stand in a line of its own there"], ["c", "10.25", "short"]]
    layout.show_rows("title", ("name", "value", "about"), rows, numbers=("value",))
    printed = capsys.readouterr().out
    assert all(word in printed for row in rows for cell in row for word in cell.split())
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= columns


@pytest.mark.parametrize("columns", [80, 60])
def test_what_is_said_of_a_comparison_fits_a_terminal(command, monkeypatch, earlier, columns):
    monkeypatch.chdir(earlier.parent)
    words = ["compare", "runs/image-0", "runs/image-1"]
    said = "image-0 and image-1: accuracy +0.0000 (-0.2425 to +0.2425), p 1"
    assert said in command(*words)[1], "lines stay whole where a program may read them"
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal
    printed = re.sub(r"\x1b\[[0-9;]*m", "", command(*words)[1])
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= columns
    assert said in " ".join(printed.split()) and "every" not in printed


def test_names_do_not_reach_the_terminal_as_commands(capsys):
    layout.show_rows("\x1b[2Jtitle", ("name",), [["a\x1b[31mb\u202e"]])
    layout.show_json({"name": "a\x1b[31mb\u202e\x9b", "nan": float("nan")})
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\u202e" not in printed and "\x9b" not in printed
    assert json.loads(printed[printed.index("{") :]) == {"name": "a\x1b[31mb\u202e\x9b", "nan": None}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_words_and_flags(command, shell):
    status, printed, said = command("completion", shell)
    assert status == 0 and not said
    assert all(word in printed for word in (*cli.VERBS, *TASKS, "max-minutes", "skip-bad", *typing.get_args(Kind)))
    verbs = words_of(printed)
    assert list(verbs["list"]["subcommands"]) == sorted(typing.get_args(Kind))
    assert list(verbs["cache"]["subcommands"]) == ["ls", "rm"]
    for verb in ("fit", "auto", "rank", "sweep"):
        assert list(verbs[verb]["subcommands"]) == sorted(TASKS)


def words_of(script: str) -> dict[str, Any]:
    """What a script completes, by verb: its `options`, and the `subcommands` that stand behind it."""
    line = next(line for line in script.splitlines() if "COMPLETION_SPEC = " in line)
    line = line[line.index("{") :]
    try:
        found = ast.literal_eval(line)
    except SyntaxError:  # fish has it between double quotes
        found = ast.literal_eval(line.replace('\\"', '"').replace("\\$", "$").replace("\\\\", "\\"))
    return dict(found["subcommands"])


@pytest.mark.parametrize("verb", ["auto", "rank", "sweep"])
def test_completion_offers_the_flags_that_a_verb_reads(command, verb):
    verbs, module = words_of(command("completion", "bash")[1]), sys.modules[cli.VERBS[verb].__module__]
    flags = {flag for one in verbs[verb]["subcommands"][TEXT]["options"] for flag in one["flags"]}
    assert {one.spelled for one in module.FLAGS} | {"--train", "--text-column"} <= flags
    assert not flags & set(module.UNREAD)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_nothing_else_completes_is_a_file(command, shell):
    assert command("completion", shell)[1].count(completion.FILES[shell]) == 1


def test_bash_completes_flags_and_files(command, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    script = tmp_path / "mmtransfer"
    script.write_text(command("completion", "bash")[1])
    asked = [("fit text-classification --ba", 3, ["--backbone", "--batch-size"]), ("lis", 1, ["list"])]
    asked += [("embed --c", 2, ["--cache", "--cache-dir", "--cache-limit"]), ("fit te", 2, [TEXT])]
    asked += [("list da", 2, ["data"]), ("auto text-classification --prefer s", 4, ["speed", "size"])]
    asked += [("sweep text-classification --strategies full lin", 5, ["linear-probe"])]
    asked += [("predict ru", 2, ["runs"]), ("predict runs a", 3, ["a picture.png"]), ("predict none", 2, [""])]
    (tmp_path / "runs").mkdir()
    (tmp_path / "a picture.png").touch()
    for words, place, expected in asked:
        code = f"source {script}; COMP_WORDS=(mmtransfer {words}); COMP_CWORD={place}; _tyro_mmtransfer"
        code += '; printf "%s\\n" "${COMPREPLY[@]}"'
        how: Any = {"capture_output": True, "text": True, "timeout": 60, "check": False, "cwd": tmp_path}
        done = subprocess.run(["bash", "-c", code], **how)
        assert done.stdout.split("\n")[:-1] == expected, done.stderr
