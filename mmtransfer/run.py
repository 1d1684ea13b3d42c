"""The layout of a run folder, and nothing else."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from mmtransfer.errors import MMTransferError, damaged

SCHEMA = 1


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and how its files are written: whole or not at all."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def store(self) -> Path:
        """Frozen backbones of all runs beside this one, each once."""
        return self.path.parent / ".weights"

    def predictions(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.parquet"

    def check(self, overwrite: bool) -> None:
        """Refuses a folder that holds anything, unless `overwrite` and it is a run."""
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not overwrite:
            run = ", or --resume to go on with it, or --overwrite to replace it" if self.config.exists() else ""
            what = "The run folder exists" if run else "The folder exists and is no run"
            raise MMTransferError(what, f"--out {self.path}", f"give another --out{run}")
        if not self.config.exists():
            raise MMTransferError(
                "Not a run folder, so it is not overwritten", f"--out {self.path}", "give another --out"
            )

    def create(self, overwrite: bool) -> None:
        """Makes the folder empty; what `check` refuses is refused."""
        self.check(overwrite)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Writes JSON by rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)

    def write_predictions(self, split: str, records: Mapping[str, list[Any]]) -> None:
        """Writes predictions/SPLIT.parquet."""
        import pyarrow
        import pyarrow.parquet

        path = self.predictions(split)
        path.parent.mkdir(exist_ok=True)
        columns = {
            name: pyarrow.array(values, pyarrow.list_(pyarrow.float32()) if name == "logits" else None)
            for name, values in records.items()
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), path)

    def cut_log(self, steps: int) -> None:
        """Drops the log's lines after a step: those of work that a resumed run does again."""
        if self.log.exists():
            lines = [line for line in self.log.read_text().splitlines() if _step(line) <= steps]
            temporary = self.log.with_suffix(".tmp")
            temporary.write_text("".join(line + "\n" for line in lines))
            temporary.replace(self.log)

    def read_result(self) -> dict[str, Any]:
        """result.json; raises MMTransferError for a folder that is no run or a run that has not ended."""
        if not self.config.exists():
            raise MMTransferError(
                "Not a run folder: there is no config.json", str(self.path), "give the folder of a run"
            )
        if not self.result.exists():
            raise self.unfinished("The run has not ended: there is no result.json")
        return self.read(self.result)

    def unfinished(self, what: str) -> MMTransferError:
        """The error that names the command which ends the run."""
        task = self.read(self.config).get("task", "TASK")
        return MMTransferError(what, str(self.path), f"go on with it: mmtransfer fit {task} --resume --out {self.path}")

    def read(self, path: Path) -> dict[str, Any]:
        """A JSON file of the run."""
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
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


def _step(line: str) -> float:
    """The step of a line of log.jsonl; of one that a crash has torn, after all others."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return float("inf")


def scored_on(result: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    """What result.json says of the data behind a split's scores: of folds, which leave nothing out, of training."""
    return dict(result["data"].get(split) or result["data"]["train"])


def default_name(task: str) -> str:
    """runs/TASK-DATE-TIME."""
    return str(Path("runs") / f"{task}-{datetime.now():%Y%m%d-%H%M%S}")


def environment(threads: int) -> dict[str, Any]:
    """Versions, machine and command, for environment.json."""
    names = ("mmtransfer", "torch", "torchvision", "torchaudio", "transformers", "datasets", "evaluate", "accelerate")
    versions = {}
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
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "command": sys.argv,
        "git_commit": commit,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
