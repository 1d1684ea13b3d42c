"""The layout of a run folder, and nothing else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import mmtransfer
from mmtransfer import belongings, disk, documents, files, lock, strategies
from mmtransfer.config import make
from mmtransfer.defaults import DEFAULTS
from mmtransfer.documents import PROGRAM, Form
from mmtransfer.errors import MMTransferError, damaged

SCHEMA = 2
"""Of result.json and environment.json; 1, of version 0.1.0, does not name the program, and is the same otherwise."""

CONFIG: Mapping[Any, Form] = {
    "task": str,
    "strategy": str,
    "seed": int,
    "train?": str,
    "backbone?": str,
    "strategy_options?": {},
    "mean?": ([float], None),
    "std?": ([float], None),
}
"""What config.json of a run must have; `config.make` looks after the rest."""
WHOLE: Mapping[Any, Form] = {
    **CONFIG,
    "train": str,
    "validation?": (str, None),
    "test?": (str, None),
    "backbone": str,
    "strategy_options": {},
}
"""What it must have for the run to be gone on with: without its data, those of a first try would be taken."""
SCORE = {"value": (float, None), "low": (float, None), "high": (float, None), "n": int, "method": str}
DATA = {"source": (str, None), "n": int, "fingerprint": str}
RESULT: Mapping[Any, Form] = {"program?": str, "schema?": int, "status": str, "task": str, "seed": int}
FINISHED: Mapping[Any, Form] = {
    **RESULT,
    "seconds": {"total": float, "train": float},
    "data": {str: DATA},
    "parameters": {"total": int, "trainable": int},
    "metrics": {str: {str: SCORE}},
    "primary": {"name": str, "split": str, "value": (float, None)},
    "throughput": {"examples_per_second": float},
    "memory": {"peak_bytes": int},
    "cache?": ({"cut": (str, None)}, None),
}
"""What result.json has at least, of any run and of a finished one."""


class Inside:
    """A file or folder of a run, by its name there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: RunFolder, owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and how its files are written: whole or not at all."""

    path: Path

    config = Inside("config.json")
    result = Inside("result.json")
    model = Inside("model")
    adapter = Inside("adapter")
    log = Inside("log.jsonl")
    checkpoints = Inside("checkpoints")

    @property
    def store(self) -> Path:
        """Frozen backbones of all runs beside this one, each once."""
        return self.path.parent / ".weights"

    def predictions(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.parquet"

    def check(self, overwrite: bool, settings: Mapping[str, Any]) -> None:
        """Refuses a folder that cannot be made, and one that holds anything, unless `overwrite` and it is a run and
        nothing else. `settings`: those of the new run, whose data and weights must not lie in it."""
        where = f"--out {self.path}"
        disk.check(self.path, where)
        with disk.writing(self.path):
            there = set(os.listdir(self.path)) if self.path.exists() else set()
        there -= {lock.NAME, *(f"{name}.tmp" for name in (lock.NAME, "environment.json", "config.json"))}
        # a run that was killed before its config.json has nothing to lose
        if not there or (there == {"environment.json"} and belongings.known(self.path)):
            return
        if overwrite:
            belongings.refuse_sources(self.path, settings, where)
            belongings.refuse_strange(self.path, where)
            return
        run = ", or --resume to go on with it, or --overwrite to replace it" if self.config.exists() else ""
        what = "The run folder exists" if run else "The folder exists and is no run"
        raise MMTransferError(what, where, f"give another --out{run}")

    def make(self) -> None:
        """Makes the folder, if it is not there."""
        with disk.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def empty(self, overwrite: bool, settings: Mapping[str, Any]) -> None:
        """Empties the folder but for its lock, which this process must hold; what `check` refuses is refused."""
        self.check(overwrite, settings)
        belongings.clear(self.path)

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Writes JSON by rename."""
        with disk.writing(path):
            documents.write(path, content)

    def write_predictions(self, split: str, records: Mapping[str, list[Any]]) -> None:
        """Writes predictions/SPLIT.parquet."""
        import pyarrow

        path = self.predictions(split)
        columns = {name: pyarrow.array(values, _type(name, values)) for name, values in records.items()}
        with disk.writing(path):
            path.parent.mkdir(exist_ok=True)
            files.write_table(path, pyarrow.table(columns))

    def read_predictions(
        self, split: str, without: Sequence[str] = (), needed: Sequence[str] = ("id",)
    ) -> dict[str, list[Any]]:
        """The columns of predictions/SPLIT.parquet, sorted by id, but those in `without`; MMTransferError where one of
        those `needed` is not there."""
        import pyarrow
        import pyarrow.parquet

        path = self.predictions(split)
        try:
            kinds = {field.name: field.type for field in pyarrow.parquet.read_schema(path)}
            missing = [name for name in needed if name not in kinds]
            if missing:
                raise ValueError(f"it has no column {missing[0]}")
            if "target" in kinds and not _alike(kinds["target"], kinds.get("prediction")):
                raise ValueError("its answers are of another kind than its targets")
            names = [name for name in kinds if name not in without]
            columns = pyarrow.parquet.read_table(path, columns=names).sort_by("id").to_pydict()
            gaps = [name for name in (*needed, "target", "prediction") if None in columns.get(name, ())]
            if gaps:
                raise ValueError(f"its column {gaps[0]} has gaps")
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise damaged(path, error) from None
        return dict(columns)

    def cut_log(self, steps: int) -> None:
        """Drops the log's lines after a step: those of work that a resumed run does again."""
        if self.log.exists():
            lines = [line for line in self.log.read_bytes().splitlines() if _step(line) <= steps]
            with disk.writing(self.log):
                files.write_bytes(self.log, b"".join(line + b"\n" for line in lines))

    def read_config(self, whole: bool = False) -> dict[str, Any]:
        """config.json, `whole` if it is to be gone on with; raises MMTransferError for a file that is not a run's."""
        config = self.read(self.config, WHOLE if whole else CONFIG)
        if config["task"] not in DEFAULTS:
            raise damaged(self.config, ValueError(f"task must be one of {', '.join(DEFAULTS)}, not {config['task']!r}"))
        try:
            make(config, str(self.config))
            if whole:
                strategies.make(config["strategy"], config.get("strategy_options") or {})
        except MMTransferError as error:  # it names the setting, not whose it is
            raise damaged(self.config, ValueError(error.what)) from None
        return config

    def refuse_absent(self) -> None:
        """Raises MMTransferError where there is no config.json."""
        if not os.path.exists(self.config):
            raise MMTransferError(
                "Not a run folder: there is no config.json", str(self.path), "give the folder of a run"
            )

    def read_result(self) -> dict[str, Any]:
        """result.json; raises MMTransferError for a folder that is no run or a run that has not ended."""
        self.refuse_absent()
        if not self.result.exists():
            raise self.unfinished("The run has not ended: there is no result.json")
        result = self.read(self.result, RESULT)
        program, schema = result.get("program", PROGRAM), result.get("schema", SCHEMA)
        if schema > SCHEMA or program != PROGRAM:
            what = f"result.json is written by {program}, in schema {schema}"
            raise MMTransferError(f"{what}; known is {PROGRAM}, to schema {SCHEMA}", str(self.result), "use that one")
        if result["status"] == "finished":
            result = self.read(self.result, FINISHED)
            lost = [split for split in result["metrics"] if not {split, "train"} & result["data"].keys()]
            if lost:
                raise damaged(self.result, ValueError(f"data.{lost[0]} is missing"))
        return result

    def unfinished(self, what: str) -> MMTransferError:
        """The error that names the command which ends the run."""
        config = self.read(self.config, {"task?": str})
        if config and "task" not in config:
            return MMTransferError(
                "Not a run folder: its config.json is of another program", str(self.path), "give the folder of a run"
            )
        task = config.get("task", "TASK")
        return MMTransferError(what, str(self.path), f"go on with it: mmtransfer fit {task} --resume --out {self.path}")

    def read(self, path: Path, form: Mapping[Any, Form]) -> dict[str, Any]:
        """A JSON file of the run; raises MMTransferError where it is not what `form` has it."""
        try:
            return documents.read_json(path, form)
        except (OSError, ValueError) as error:
            raise damaged(path, error) from None

    def tensors(self, path: Path) -> dict[str, Any]:
        """A safetensors file of the run."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise damaged(path, error) from None


def _type(name: str, values: Sequence[Any]) -> Any:
    """The type of a column of predictions; of lists it is not left to be guessed, for all of them may be empty."""
    import pyarrow

    if name in ("logits", "confidences"):
        return pyarrow.list_(pyarrow.float32())
    return pyarrow.list_(pyarrow.string()) if values and isinstance(values[0], list) else None


def _alike(kind: Any, other: Any) -> bool:
    """Whether two columns hold answers of one kind; version 0.1.0 gave lists that are all empty a type of their own."""
    return kind == other or "list<element: null>" in (str(kind), str(other))


def _step(line: bytes) -> float:
    """The step of a line of log.jsonl; of one that a crash has torn, after all others."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return float("inf")


def scored_on(result: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    """What result.json says of the data behind a split's scores: of folds, which leave nothing out, of training."""
    return dict(result["data"].get(split) or result["data"]["train"])


def default_name(task: str) -> str:
    """runs/TASK-DATE-TIME."""
    return str(Path("runs") / f"{task}-{datetime.now():%Y%m%d-%H%M%S}")


def header() -> dict[str, Any]:
    """What result.json and environment.json say of themselves, so that a run is known by them."""
    return {"program": PROGRAM, "schema": SCHEMA}


def environment(threads: int) -> dict[str, Any]:
    """Versions, machine and command, for environment.json."""
    names = ("torch", "torchvision", "torchaudio", "transformers", "datasets", "evaluate", "accelerate")
    versions = {PROGRAM: mmtransfer.__version__}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
        commit = git.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    return {
        **header(),
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": _gpu(),
        "command": sys.argv,
        "git_commit": commit,
    }


def device(kind: str) -> dict[str, Any]:
    """What a run computes on, for result.json: its type and name, and what drives a GPU."""
    return {"type": kind, **((_gpu() if kind == "cuda" else None) or {"name": processor()})}


@cache
def _gpu() -> dict[str, Any] | None:
    """The GPU and what drives it; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False).stdout.split("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        driver = ""
    return {
        "name": torch.cuda.get_device_name(),
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
        "driver": driver or None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def processor() -> str:
    """The name of the CPU, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
