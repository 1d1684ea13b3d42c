"""The same run with several seeds: a run folder for each, and how far the scores spread."""

from __future__ import annotations

import logging
import math
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from mmtransfer import disk, lock
from mmtransfer.api import Run, fit
from mmtransfer.config import RunConfig
from mmtransfer.defaults import as_given
from mmtransfer.documents import PROGRAM
from mmtransfer.engine import processes, sharding
from mmtransfer.engine.signals import Interrupted
from mmtransfer.errors import MMTransferError
from mmtransfer.metrics import crossed, stored
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder, default_name, scored_on

logger = logging.getLogger("mmtransfer")
SCHEMA = 2
"""1, of version 0.1.0, does not name the program."""
FILE = "repeats.json"
FILES = (FILE, f"{FILE}.tmp", lock.NAME, f"{lock.NAME}.tmp", ".weights")
"""What the folder of all holds beside those of the runs."""
SEED = re.compile(r"seed-(0|[1-9]\d*)", re.ASCII)
"""Names of the folders of runs."""


@dataclass(frozen=True)
class Repeats:
    """Runs that differ in their seed; `folder` holds theirs, and repeats.json."""

    folder: Path
    runs: Sequence[Run]

    @property
    def seeds(self) -> list[int]:
        return [int(run.result["seed"]) for run in self.runs]

    @cached_property
    def metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By split and name: mean, sd, min, max over the seeds; low, high (95 %), n, method of the mean's interval.

        `sd` is None for one seed; `low` and `high` are None where predictions do not allow an interval.
        """
        return {
            split: {name: self._spread(split, name) for name in scores}
            for split, scores in self.runs[0].metrics.items()
        }

    def _spread(self, split: str, name: str) -> dict[str, Any]:
        scores = [run.metrics[split][name] for run in self.runs if name in run.metrics.get(split, {})]
        values = [float(score["value"]) for score in scores if score["value"] is not None]
        low, high, method = self._interval(split, name, values)
        return {
            "mean": statistics.fmean(values) if values else None,
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "min": min(values, default=None),
            "max": max(values, default=None),
            "low": low,
            "high": high,
            "n": scores[0]["n"],
            "method": method,
        }

    def _interval(self, split: str, name: str, values: list[float]) -> tuple[float | None, float | None, str]:
        if len(values) < len(self.runs):
            return None, None, "not every run has a value"
        if len({scored_on(run.result, split)["fingerprint"] for run in self.runs}) > 1:
            return None, None, f"every seed has {split} data of its own"
        found = stored.drawn(name, self._records[split])
        if found is None:
            return None, None, "not known how to draw it again"
        if found.units < 2:
            return None, None, "one example or recording does not tell how others would do"
        again = found.statistic(np.ones((1, found.units)))[0].tolist()
        if not all(map(partial(math.isclose, rel_tol=1e-9, abs_tol=1e-6), again, values)):
            return None, None, "the stored predictions give another value"
        interval = crossed.crossed(found.statistic, found.units, len(values), found.share, found.lowest)
        return (*interval, found.method)

    @cached_property
    def _records(self) -> dict[str, list[dict[str, list[Any]]]]:
        """By split, the stored predictions of each run, sorted by id."""
        return {
            split: [run.folder.read_predictions(split, without=("logits", "loss")) for run in self.runs]
            for split in self.runs[0].metrics
        }

    def as_dict(self) -> dict[str, Any]:
        """As repeats.json holds it."""
        first = self.runs[0].result
        return {
            "program": PROGRAM,
            "schema": SCHEMA,
            "task": first["task"],
            "seeds": self.seeds,
            "runs": [run.folder.path.name for run in self.runs],
            "primary": {key: first["primary"][key] for key in ("name", "split")},
            "metrics": self.metrics,
        }


def repeat(config: RunConfig | None = None, n: int = 3, **fields: Any) -> Repeats:
    """Trains with the seeds `seed`, `seed + 1`, ... and writes OUT/seed-S of each and OUT/repeats.json.

    `config` and `fields` as `fit` takes them; `out` is the folder of all, runs/TASK-DATE-TIME by default. With
    `resume`, finished runs are kept, one that was stopped goes on, and missing ones are made, with the settings of
    those that are there where none are given. Raises MMTransferError where the runs end up with different test data.

    >>> data = {"train": "train.csv", "test": "test.csv", "backbone": "path/to/bert"}
    >>> repeats = mmt.repeat(n=2, task="text-classification", **data, strategy="linear-probe", out="runs/seeds")
    >>> repeats.seeds, repeats.metrics["test"]["accuracy"]["mean"]
    ([0, 1], 1.0)
    """
    if n < 1:
        raise MMTransferError(f"{n} runs are none", "--repeats", "give 1 or more")
    own = as_given(vars(config), fields.get("task")) if config else {}
    given = own | fields
    task, resume = given.setdefault("task", RunConfig.task), given.pop("resume", False)
    sharding.refuse()
    accelerator = processes.accelerator()
    out = Path(broadcast_object_list([str(given.pop("out", None) or default_name(task))])[0])
    if not resume:
        resolve(**given)  # what is wrong with the settings is said before there is a folder
    held = lock.Lock(out)
    processes.together(accelerator, lambda: _claim(held, resume, given))
    try:
        return _repeat(out, n, given, resume, accelerator)
    finally:
        held.release()
        with suppress(OSError):  # where nothing was begun nothing is left
            out.rmdir()


def _repeat(out: Path, n: int, given: dict[str, Any], resume: bool, accelerator: Accelerator) -> Repeats:
    earlier = _earlier(out) if resume else {}
    first = int(given.pop("seed", min(earlier, default=0)))
    task, runs = given["task"], list[Run]()
    for seed in range(first, first + n):
        settings = given | {"out": str(out / f"seed-{seed}")}
        if seed in earlier:
            settings |= {"resume": True}
        elif earlier:
            settings = earlier[min(earlier)].read_config(whole=True) | settings | {"seed": seed}
        else:
            settings |= {"seed": seed}
        if runs:  # what the first run has tried is not tried again
            settings |= {name: getattr(runs[0].config, name) for name in ("precision", "layout")}
        logger.info("seed %d, run %d of %d", seed, seed - first + 1, n)
        try:
            runs.append(fit(**settings))
        except Interrupted as stop:
            command = f"mmtransfer fit {task} --repeats {n} --resume --out {out}"
            raise Interrupted(stop.signum, command, out) from None
    if len({run.result["data"].get("test", {}).get("fingerprint") for run in runs}) > 1:
        raise MMTransferError(
            "The runs have different test data, so their scores cannot be averaged",
            str(out),
            "remove the runs on the old data, and give --resume again",
        )
    made = Repeats(out, runs)
    if accelerator.is_main_process:
        RunFolder(out).write(out / FILE, made.as_dict())
    accelerator.wait_for_everyone()
    return made


def _claim(held: lock.Lock, resume: bool, given: Mapping[str, Any]) -> None:
    """Takes the folder of all for this process; refuses one that holds anything else, or where a run is at work."""
    out, where = held.folder, f"--out {held.folder}"
    disk.check(out, where)
    there = sorted(os.listdir(out)) if out.is_dir() else []
    runs = [out / name for name in there if SEED.fullmatch(name)]
    for run in (out, *runs):
        lock.refuse(run)
    if not resume and set(there) - {lock.NAME}:
        if not given.get("overwrite"):
            raise MMTransferError(
                "The folder exists",
                where,
                "give another --out, or --resume to make what is missing, or --overwrite to replace the runs",
            )
        strange = [name for name in there if name not in FILES and out / name not in runs]
        if strange:
            raise MMTransferError(
                f"Not a folder of repeated runs, so it is not overwritten: it holds {strange[0]}",
                where,
                "give another --out",
            )
        for run in runs:
            RunFolder(run).check(True, given)
    with disk.writing(out):
        out.mkdir(parents=True, exist_ok=True)
    held.acquire()
    if not resume:  # it tells of the runs that are replaced
        (out / FILE).unlink(missing_ok=True)


def _earlier(out: Path) -> dict[int, RunFolder]:
    """The runs that are there, by seed."""
    found = {SEED.fullmatch(path.parent.name): RunFolder(path.parent) for path in out.glob("seed-*/config.json")}
    return {int(match[1]): folder for match, folder in found.items() if match}
