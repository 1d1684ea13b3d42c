"""The fuzz harness itself: a seed makes the same cases, what is bad is called so, kept, and can be replayed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz import cases, corpus, mutations

CASE = {"names": ["a.csv"], "words": ["fit", "text-classification", "--train", "{case}/input/a.csv", "--epochs", "1"]}


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (0, "fine", "success"),
        (2, "error: Bad\n  where: --train /x/a.csv\n  do: mend", "refused"),
        (2, "a.csv was read\nerror: Bad\n  where: somewhere\n  do: mend", "refused without a name"),
        (2, "error: Bad\n  where: --epochs\n  do: mend", "refused without a name"),
        (2, "error: Bad\n  where: --train\n  do: mend", "refused"),
        (2, "usage", "status 2"),
        (0, "Traceback (most recent call last):\nKeyError: a.csv", "trace"),
        (70, "numpy.core._exceptions._ArrayMemoryError", "memory"),
        (70, "", "trace"),
        (-11, "", "signal 11"),
        (1, "", "status 1"),
        (None, "", "hang"),
    ],
)
def test_what_an_outcome_is_called(status, said, expected):
    assert cases.outcome(CASE, status, said) == expected
    assert (expected in cases.GOOD) == (expected in ("success", "refused"))


def small(folder: Path) -> Path:
    """A corpus of tables alone, without the run that reads them."""
    (folder / "made").mkdir(parents=True)
    for part in ("bert", "wav2vec2", "runs-text-classification"):
        (folder / "made" / part).touch()
    corpus.build(folder, ["tables"], lambda action: action())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_seed_makes_the_same_cases(tmp_path):
    place = small(tmp_path / "corpus")
    items = corpus.items(place, "tables")
    before = contents(place)
    assert {item.task for item in items} == {"text-classification"} and len(items) == 9
    made = []
    for turn in ("one", "two"):
        for number in range(40):
            folder = tmp_path / turn / str(number)
            case = cases.make(folder, place, items, seed=3, number=number)
            made.append((case, contents(folder / "input")))
    assert made[:40] == made[40:] and contents(place) == before
    assert len({json.dumps(case["mutations"]) for case, _ in made}) > 20
    changed = [number for number, (case, files) in enumerate(made[:40]) if set(files.values()) - set(before.values())]
    assert len(changed) > 20


@pytest.mark.parametrize("act", sorted({act.__name__ for act in (*mutations.BYTES, *mutations.FILES)}))
def test_every_mutation_takes_every_file(tmp_path, act):
    random = np.random.default_rng(0)
    for number, data in enumerate((b"", b"a", b"text,label\n" * 300)):
        path = tmp_path / str(number) / "a.csv"
        path.parent.mkdir()
        path.write_bytes(data)
        getattr(mutations, act)(random, path)


@pytest.mark.parametrize("suffix", sorted(mutations.STRUCTURED))
def test_structural_edits_take_spoilt_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for number in range(30):
        path.write_bytes([b"", b"{", b"\xff" * 9, b'{"a": [1, {"b": 2}]}'][number % 4])
        mutations.STRUCTURED[suffix](np.random.default_rng(number), path)


def test_cases_are_run_counted_kept_and_replayed(tmp_path):
    """The command itself: a trace that is planted is found, kept and shown again."""
    (tmp_path / "sitecustomize.py").write_text(
        "import mmtransfer.data.encodings as encodings\n"
        "read = encodings.read_text\n"
        "def planted(path, where):\n"
        "    if 'corpus' in path.parts:\n"
        "        return read(path, where)\n"
        "    raise KeyError('planted')\n"
        "encodings.read_text = planted\n"
    )
    place = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    keep, out = tmp_path / "keep", tmp_path / "fuzz.json"

    def fuzz(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.fuzz", *map(str, words)]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": place}, capture_output=True, text=True)

    done = fuzz("--kind", "tables", "--cases", 8, "--jobs", 1, "--keep", keep, "--out", out)
    page = json.loads(out.read_text())
    assert page["cases"] == sum(page["by kind"]["tables"].values()) == 8 and page["outcomes"]["trace"] >= 1, done.stderr
    assert done.returncode == 1 and not (keep / "corpus" / "checkpoints").exists()
    bad = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("trace: ")]
    assert len(bad) == page["outcomes"]["trace"]
    assert "planted" in Path(bad[0], "said.txt").read_text() and Path(bad[0], "input").is_dir()
    again = fuzz("--replay", bad[0])
    assert again.returncode == 70 and "KeyError: 'planted'" in again.stderr
