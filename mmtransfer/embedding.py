"""Features of a backbone or a run, with their ids: `embed(...)`, `Run.embed(...)`, and the files that keep them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from mmtransfer import backbones
from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import IMAGE, SPEECH, TEXT, RunConfig, make, read
from mmtransfer.data import sources
from mmtransfer.engine import features
from mmtransfer.engine.loading import Examples
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import resolve
from mmtransfer.run import RunFolder
from mmtransfer.seeding import number
from mmtransfer.tasks import TASKS, Task

SUFFIXES = (".npy", ".parquet")
_TASKS: dict[str, str] = {"image": IMAGE, "text": TEXT, "speech": SPEECH}


@dataclass(frozen=True)
class Features:
    """`ids` (n,): a file's path relative to its folder, or the number of a row; `values` float32 (n, width), row by
    row the features of the ids."""

    ids: list[str]
    values: np.ndarray

    def save(self, path: str | Path) -> None:
        """X.npy: the array, with X.ids.txt beside it, an id a line; X.parquet: columns id and features, list<float32>.

        Raises MMTransferError for another suffix.
        """
        path = Path(path)
        check(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        if path.suffix == ".npy":
            with temporary.open("wb") as file:
                np.save(file, self.values)
            lines = "".join(name.replace("\n", " ") + "\n" for name in self.ids)
            path.with_suffix(".ids.txt").write_text(lines, encoding="utf-8")
        else:
            import pyarrow
            import pyarrow.parquet

            offsets = np.arange(len(self.ids) + 1, dtype=np.int32) * self.values.shape[1]
            lists = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(self.values.reshape(-1)))
            pyarrow.parquet.write_table(pyarrow.table({"id": self.ids, "features": lists}), temporary)
        temporary.replace(path)


def check(path: str | Path) -> None:
    """Raises MMTransferError for a file that `Features.save` does not write."""
    if Path(path).suffix not in SUFFIXES:
        raise MMTransferError(
            f"Features are written as {' or '.join(SUFFIXES)}, not {Path(path).suffix or 'without a suffix'}",
            f"--out {path}",
            f"name the file {Path(path).stem}{SUFFIXES[0]} or {Path(path).stem}{SUFFIXES[1]}",
        )


def embed(backbone: str | Path, data: Any, split: str = "test", seed: int = 0, **fields: Any) -> Features:
    """Pooled features of unlabelled (or labelled) data; of speech the mean over the valid frames.

    Args:
        backbone: a finished run, whose own settings are used, or any name that `--backbone` takes.
        data: a file, a folder, `builtin:NAME` or a list of inputs, as `Run.predict` takes it.
        split: the part of built-in data that is taken, train or test.
        seed: draws the weights where they are random.
        fields: settings of `fit` beside a backbone's name: weights, image_size, max_length, precision, ...

    Raises MMTransferError for what a user can mend; a run's settings are not to be changed.
    """
    folder = RunFolder(Path(backbone))
    torch.manual_seed(number(seed, "backbone"))
    if folder.result.exists() and folder.config.exists():
        if fields:
            raise MMTransferError(
                f"A run is used with its own settings, not with {', '.join(fields)}",
                str(backbone),
                "leave them out, or name a backbone",
            )
        config = make(read(folder.config), str(folder.config))
        loaded = backbones.load(str(backbone))
    else:
        loaded = backbones.load(str(backbone), fields.pop("weights", None))
        config = resolve(task=_TASKS[loaded.modality], backbone=str(backbone), train="-", **fields)
    return features_of(loaded, TASKS[config.task](config, loaded), config, data, split)


def features_of(backbone: Backbone, task: Task, config: RunConfig, data: Any, split: str = "test") -> Features:
    """Features of data as the task encodes them under this configuration; of a recording that is cut into pieces their
    mean by length."""
    columns = task.columns()
    table = sources.load(data, task.modality, columns, config.skip_bad, "the inputs", labelled=False, split=split)
    if task.answer_column in table.rows.column_names:  # of built-in data; labels of others would be unknown
        table = replace(table, rows=table.rows.remove_columns(task.answer_column))
    pieces, owners = task.pieces(table)
    rows, lengths = task.rows(pieces)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    workers = int(config.workers or 0)
    found = features.pooled(backbone, task, Examples(rows, lengths, None), accelerator, config.precision, workers)
    if len(pieces) == len(table):
        return Features(table.ids, found)
    weights = lengths[:, None] / np.bincount(owners, lengths, len(table))[owners, None]
    values = np.zeros((len(table), found.shape[1]), np.float32)
    np.add.at(values, owners, found * weights.astype(np.float32))
    return Features(table.ids, values)
