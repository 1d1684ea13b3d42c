"""A case: a mutated input, the command that is given it, and what came of it."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz import mutations
from benchmarks.fuzz.corpus import BACKBONES, FIT, KINDS, Item, good

MEMORY = 4 << 30
"""Bytes that a case may take beyond what the process has when it begins."""
BROKEN = 99
"""Exit status of a case in which the harness itself failed."""
GOOD = ("success", "refused")


def make(folder: Path, corpus: Path, items: Sequence[Item], seed: int, number: int) -> dict[str, Any]:
    """Writes FOLDER/input and FOLDER/case.json; the same for the same seed, kind and number."""
    random = np.random.default_rng([seed, KINDS.index(items[0].kind), number])
    item = items[int(random.integers(len(items)))]
    name = Path(item.path).name
    root = folder / "input" / name
    root.parent.mkdir(parents=True)
    source = corpus / item.path
    if source.is_dir():
        shutil.copytree(source, root, symlinks=item.kind not in ("runs", "checkpoints"))
    else:
        shutil.copy(source, root)
    done, names = mutations.spoil(random, root)
    words = _words(random, item, f"{{case}}/input/{name}")
    case = {"seed": seed, "kind": item.kind, "number": number, "item": item.path, "mutations": done}
    case |= {"names": [name, *names], "words": words}
    (folder / "case.json").write_text(json.dumps(case, indent=1))
    return case


def _words(random: mutations.Random, item: Item, path: str) -> list[str]:
    """The command line, with {case} and {corpus} in the place of folders."""
    run, data = f"{{corpus}}/runs/{item.task}", good(item.task)
    if item.kind == "checkpoints":
        return ["fit", item.task, "--resume", "--out", path]
    train = ["fit", item.task, "--out", "{case}/out/run", *FIT, "--strategy"]
    if item.kind != "runs":
        choices = [
            ["predict", run, path],
            ["evaluate", run, "--test", path],
            ["evaluate", run, "--test", path, "--skip-bad"],
            ["embed", run, path, "--cache", "off", "--out", "{case}/out/x.parquet"],
            [*train, "full", "--train", path, "--validation", data, *BACKBONES[item.task]],
            [*train, "full", "--train", path, "--validation", data, *BACKBONES[item.task], "--skip-bad"],
        ]
    elif item.path.startswith("weights"):
        short = ["--max-length", "16"] if item.path.endswith("bert") else []
        choices = [
            ["embed", path, data, "--cache", "off", "--out", "{case}/out/x.npy", *short],
            [*train, "full", "--train", data, "--validation", data, "--backbone", path, *short],
        ]
    else:
        choices = [
            ["predict", path, data],
            ["evaluate", path, "--test", data],
            ["embed", path, data, "--cache", "off", "--out", "{case}/out/x.npy"],
            ["compare", path, run],
            ["compare", run, path],
        ]
    return choices[int(random.integers(len(choices)))]


def run(folder: Path, corpus: Path, case: dict[str, Any], debug: bool = False) -> int:
    """Runs a case's command in this process: its exit status, 70 if it ended in a trace."""
    from mmtransfer import cli

    (folder / "out").mkdir(exist_ok=True)
    os.chdir(folder / "out")
    words = [word.replace("{case}", str(folder)).replace("{corpus}", str(corpus)) for word in case["words"]]
    try:
        cli.main([*words, *(["--debug"] if debug else [])])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def child(folder: Path, corpus: Path, items: Sequence[Item], seed: int, number: int) -> int:
    """What a forked process does: a case, within limits, with all that it prints in FOLDER/said.txt."""
    try:
        case = make(folder, corpus, items, seed, number)
        said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        limit_memory()
    except BaseException:
        traceback.print_exc()
        return BROKEN
    with (
        io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8", write_through=True) as out,
        io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True) as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        return run(folder, corpus, case)


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def outcome(case: dict[str, Any], status: int | None, said: str) -> str:
    """success, refused (by name), or what must not be; `status`: negative for a signal, None for no end in time."""
    if status is None:
        return "hang"
    if "MemoryError" in said or "bad_alloc" in said or "DefaultCPUAllocator" in said:
        return "memory"
    if status < 0:
        return f"signal {-status}"
    if "Traceback (most recent call last)" in said or status == 70:
        return "trace"
    if status == 0:
        return "success"
    if status == 2 and "error: " in said:
        message = said[said.rindex("error: ") :]
        flags = {word for word in case["words"] if word.startswith("--")} - set(FIT)
        names = [*case["names"], *flags]
        escaped = [name.encode("utf-8", "backslashreplace").decode() for name in names]
        known = any(name in message for name in [*escaped, *(repr(name)[1:-1] for name in names)])
        return "refused" if known else "refused without a name"
    return f"status {status}"


def read(folder: Path) -> dict[str, Any]:
    """What case.json says of a case."""
    return dict(json.loads((folder / "case.json").read_text()))


def replay(folder: Path, corpus: Path) -> int:
    """Runs a kept case again, in this process and with its trace. The mutated input is used as it was kept."""
    case = read(folder)
    print("mmtransfer", *case["words"], file=sys.stderr)
    shutil.rmtree(folder / "out", ignore_errors=True)
    return run(folder, corpus, case, debug=True)
