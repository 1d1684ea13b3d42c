"""Runs that are killed at random moments and resumed until they end: are they, to the bit, the one that nobody killed?

    python -m benchmarks.kill --task text-classification --kills 30      # one core: about 10 minutes

Each task on its built-in data and backbone, in turn as a probe on cached features and as `lp-ft`, whose first phase is
one; both build their cache in a fresh folder. `--kills` counts the runs that are killed, up to three times each, by
SIGKILL once a run has used a share, drawn uniformly, of the processor's seconds of a whole one: while it starts, builds
its cache, trains, scores, writes its model, and again when it is resumed. A run is `mmtransfer.cli.main` in a process
of its own, forked from this one, which has imported what a run imports: so it is short, its start no more than its due.

What has to be the same: every file in model/ and predictions/, the metrics and the losses. Exits with 1 if anything
differs, and keeps that run's folder in runs/kill. benchmarks/results/kill.json has all killed runs, and those that it
has are not made again; with `--quick`, for a trial, they are in runs/kill and half as long.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mmtransfer import cli
from mmtransfer.config import IMAGE, SPEECH, TEXT

HERE, PLACE = Path(__file__).parent, Path("runs") / "kill"
DATA: Mapping[str, Sequence[str]] = {
    IMAGE: ("--train", "builtin:digits", "--shots", "6", "--image-size", "32", "--augment", "none"),
    TEXT: ("--train", "builtin:library", "--shots", "6", "--max-length", "24"),
    SPEECH: ("--train", "builtin:commands", "--shots-minutes", "0.4"),
}
COMMON = ("--backbone", "builtin", "--cache", "on", "--threads", "1", "--workers", "0")
STEPS = ("--batch-size", "8", "--checkpoint-every", "4", "--log-every", "1")
STRATEGIES = ("linear-probe", "lp-ft")
EPOCHS = 4
ALONE: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's
    "HF_HUB_OFFLINE": "1",  # the built-in models need no hub
}
"""The environment in which no import starts a thread: threads do not live on in a fork."""
MOST = 3
"""Kills of one run."""
TICK = 0.01
"""Seconds between two readings of a process's clock that differ."""


@dataclass(frozen=True)
class Case:
    """What is run: `task`, `strategy`, and the epochs of what is trained in steps."""

    task: str
    strategy: str
    epochs: int

    def words(self, folder: Path) -> list[str]:
        """The command line of a run in a folder of its own, with a cache of its own; it goes on where there is one."""
        words = ["fit", self.task, *DATA[self.task], *COMMON, "--strategy", self.strategy]
        if self.strategy != "linear-probe" or self.task == SPEECH:  # the others are solved exactly
            words += [*STEPS, "--epochs", str(self.epochs)]
        words += ["--out", str(folder / "run"), "--cache-dir", str(folder / "cache")]
        return words + (["--resume"] if (folder / "run" / "config.json").exists() else [])


def begin(words: list[str], folder: Path, tell: bool = False) -> int:
    """Starts `mmtransfer WORDS` as a child of this process; returns its process id.

    What it says goes to FOLDER/said.txt; `tell`: it leaves the names of what it has imported in FOLDER/imported.txt.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        said = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["mmtransfer", *words]
        cli.main(words)
        status = 0
        if tell:
            (folder / "imported.txt").write_text("\n".join(sys.modules))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, seconds: float | None = None, late: float = 0.0) -> tuple[int | None, float]:
    """Waits until a child has ended, or kills it `late` seconds after it has used so many of the processor.

    Returns its exit status, None if it was killed, and the seconds of the processor that it used.
    """
    process = psutil.Process(child)
    while seconds is not None:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        used = process.cpu_times()
        if used.user + used.system >= seconds:
            time.sleep(late)
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(TICK / 4)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == -signal.SIGKILL else code, usage.ru_utime + usage.ru_stime


def phase(folder: Path, resumed: bool) -> str:
    """Where a kill fell, by what is on disk."""
    run, entries = folder / "run", folder / "cache" / "features"
    finished = (run / "result.json").exists() and json.loads((run / "result.json").read_text())["status"] == "finished"
    signs = {
        "after the result": finished,
        "evaluation": (run / "model" / "manifest.json").exists(),
        "writing the model": (run / "model").exists(),
        "training": (run / "checkpoints" / "last").exists(),
        "cache build": any(entries.glob("*.partial")),
        "cached, before a checkpoint": entries.exists(),
        "start with a run folder": (run / "config.json").exists(),
    }
    name = next((name for name, there in signs.items() if there), "start")
    return f"{name}, resumed" if resumed else name


def facts(run: Path) -> dict[str, str]:
    """All of a finished run that must not depend on kills, by file: digests, and what is compared as it stands."""
    files = [path for part in ("model", "predictions") for path in sorted((run / part).rglob("*")) if path.is_file()]
    found = {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    result = json.loads((run / "result.json").read_text())
    found["result.json"] = json.dumps([result[key] for key in ("status", "metrics", "primary")], sort_keys=True)
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found["log.jsonl"] = json.dumps([(line["step"], line.get("loss")) for line in lines])
    return found


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names of files that differ, or that only one has."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def whole(case: Case, folder: Path, tell: bool = False) -> tuple[dict[str, str], float]:
    """Runs a case without a kill, in a new folder; returns its facts, and seconds of the processor."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    status, seconds = wait(begin(case.words(folder), folder, tell))
    if status != 0:
        raise SystemExit(f"A run that nobody killed has failed:\n{_tail(folder)}")
    return facts(folder / "run"), seconds


def warm(case: Case, folder: Path) -> None:
    """Imports what a run of this case imports, so that the next ones need not."""
    importlib.import_module("mmtransfer.api")  # most of it, else imported twice
    whole(case, folder, tell=True)
    for name in (folder / "imported.txt").read_text().splitlines():
        if name not in sys.modules:
            with suppress(Exception):  # what only a run can import is left to the runs
                importlib.import_module(name)
    if psutil.Process().num_threads() > 1:
        raise SystemExit("A library has started threads as it was imported: a process with threads cannot be forked")


def killed(case: Case, folder: Path, life: float, same: Mapping[str, str], draw: random.Random) -> dict[str, Any]:
    """One run, killed at least once and resumed until it ends: where the kills fell, and what differs from `same`."""
    kills: list[str] = []
    while not kills:  # a moment may be drawn that comes after this run's end
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        wanted = draw.randint(1, MOST)
        status: int | None = None
        while status is None:
            words = case.words(folder)
            moment = draw.uniform(0, life) if len(kills) < wanted else None
            status, _ = wait(begin(words, folder), moment, draw.uniform(0, TICK))
            if status is None and moment is None:
                status = -signal.SIGKILL  # by somebody else: no memory, say
            elif status is None:
                kills.append(phase(folder, "--resume" in words))
    if status != 0:
        return {"kills": kills, "differs": [f"exit status {status}"], "said": _tail(folder)}
    return {"kills": kills, "differs": differences(same, facts(folder / "run"))}


def measure(task: str, kills: int, seed: int, quick: bool) -> dict[str, Any]:
    """Kills and resumes runs of a task until so many are known; returns all of them."""
    results = PLACE / "quick.json" if quick else HERE / "results" / "kill.json"
    everything = json.loads(results.read_text()) if results.exists() else {}
    known = everything.get(task, {})
    if known.get("seed") != seed:
        known = {"seed": seed, "runs": []}
    place = PLACE / task
    cases = [Case(task, strategy, EPOCHS // 2 if quick else EPOCHS) for strategy in STRATEGIES]
    started: dict[str, tuple[dict[str, str], float]] = {}
    for number in range(len(known["runs"]), kills):
        case = cases[number % len(cases)]
        if case.strategy not in started:
            warm(case, place / f"warm-{case.strategy}")
            started[case.strategy] = whole(case, place / f"whole-{case.strategy}")
            print(f"{case.strategy}: {started[case.strategy][1]:.1f} s of the processor a run", flush=True)
        same, life = started[case.strategy]
        folder = place / f"killed-{number}"
        found = killed(case, folder, life, same, random.Random(f"{seed} {task} {number}"))
        known["runs"].append({"strategy": case.strategy, **found})
        print(f"{number + 1}/{kills} {case.strategy}: {'; '.join(found['kills'])}: {_verdict(found)}", flush=True)
        if not found["differs"]:
            shutil.rmtree(folder)
        _write(results, everything | {task: known | {"summary": summary(known["runs"])}})
    return known


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of killed runs, of those that are equal, of kills, and of where they fell."""
    fell = Counter(kill for run in runs for kill in run["kills"])
    equal = sum(not run["differs"] for run in runs)
    return {"runs": len(runs), "equal": equal, "kills": fell.total(), "fell": dict(fell.most_common())}


def _verdict(found: Mapping[str, Any]) -> str:
    return f"DIFFERS in {', '.join(found['differs'])}" if found["differs"] else "equal"


def _tail(folder: Path) -> str:
    return "\n".join((folder / "said.txt").read_text(errors="replace").splitlines()[-20:])


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def main() -> None:
    """Kills, resumes, compares; tells what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=sorted(DATA))
    parser.add_argument("--kills", type=int, required=True, help="runs to be killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a trial: half the epochs, results in runs/kill")
    given = parser.parse_args()
    os.environ |= ALONE
    runs = measure(given.task, given.kills, given.seed, given.quick)["runs"]
    found = summary(runs)
    print(f"{given.task}: {found['runs']} runs killed {found['kills']} times, {found['equal']} bit-equal at the end")
    for name, count in found["fell"].items():
        print(f"  {count:3d}  {name}")
    for number, run in enumerate(runs):
        if run["differs"]:
            print(f"run {number}, {run['strategy']}, killed at {'; '.join(run['kills'])}: {_verdict(run)}")
    sys.exit(int(found["equal"] < found["runs"]))


if __name__ == "__main__":
    main()
