"""Features of a backbone or a run, with their ids: `embed(...)`, `Run.embed(...)`, and the files that keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmtransfer import backbones, files
from mmtransfer.backbones import weights
from mmtransfer.cache import settings
from mmtransfer.cache.settings import Cache
from mmtransfer.config import FIELDS, RunConfig
from mmtransfer.data import frames, sources
from mmtransfer.data.columnar import Rows
from mmtransfer.engine import precision, processes, provenance
from mmtransfer.engine.features import features
from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.errors import MMTransferError
from mmtransfer.resolution import complete, resolve
from mmtransfer.run import RunFolder
from mmtransfer.seeding import number
from mmtransfer.tasks import TASKS, of_modality

SUFFIXES = (".npy", ".parquet")
CACHE = ("cache", "cache_dir", "cache_limit")
"""Settings of the cache that a run's features may have other than the run."""
COLUMNS = tuple(name for name in FIELDS if name.endswith("_column") and name != "group_column")
"""Names of columns: other data may have others than a run was trained on."""


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
        if path.suffix == ".npy":
            files.write_text(path.with_suffix(".ids.txt"), "".join(name.replace("\n", " ") + "\n" for name in self.ids))
            with files.replacing(path) as place, place.open("wb") as file:
                np.save(file, self.values)
        else:
            import pyarrow

            offsets = np.arange(len(self.ids) + 1, dtype=np.int32) * self.values.shape[1]
            lists = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(self.values.reshape(-1)))
            files.write_table(path, pyarrow.table({"id": self.ids, "features": lists}))


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
        fields: settings of `fit` beside a backbone's name: weights, image_size, max_length, precision, ...; of a run
            only those of the cache and of columns.

    What a linear probe has cached of the same data is read; a list of inputs is cached only with `cache="on"`.
    Raises MMTransferError for what a user can mend; a run's settings are not to be changed.

    >>> features = mmt.embed("path/to/bert", ["a great plot", "an awful tune"])
    >>> features.ids, features.values.shape
    (['0', '1'], (2, 32))
    """
    folder = RunFolder(Path(backbone))
    torch.manual_seed(number(seed, "backbone"))
    if (folder.model / "task.json").exists():
        others = [name for name in fields if name not in (*CACHE, *COLUMNS)]
        if others:
            raise MMTransferError(
                f"A run is used with its own settings, not with {', '.join(others)}",
                str(backbone),
                "leave them out, or name a backbone",
            )
        config = complete(folder.read_config() | fields, str(folder.config))
        machine = Machine.as_it_is(config, processes.for_inference())
        usable = precision.usable(config.precision, machine.device)
        loaded = weights.read_model(folder.model)
    else:
        sources.refuse_missing(data, "the inputs", labelled=False)
        loaded = backbones.load(str(backbone), fields.pop("weights", None))
        config = resolve(task=of_modality(loaded.modality), backbone=str(backbone), train="-", **fields)
        machine = Machine.as_it_is(config, processes.for_inference())
        usable = machine.precision
    model = Model(loaded, nn.Identity(), TASKS[config.task].make(config, loaded), usable, pooled=True)
    return features_of(model, config, machine, data, split)


def features_of(model: Model, config: RunConfig, machine: Machine, data: Any, split: str = "test") -> Features:
    """What the model reads of data, as its task encodes them; of a recording that is cut into pieces their mean by
    length. `config`: what the cache is, and whether bad rows are left out."""
    task, columns = model.task, model.task.columns()
    # the key of a few inputs at hand, a digest of all weights, would cost more than their features
    at_hand = isinstance(data, list | tuple | Mapping) or frames.is_frame(data)
    mode = "off" if config.cache == "auto" and at_hand else config.cache
    cache = settings.make(mode, config.cache_dir, config.cache_limit)
    reading = None if mode == "off" else provenance.kept_reading(cache, machine.is_main, "the inputs")
    skip, option = config.skip_bad, "the inputs"
    table = sources.load(data, task.input.kind, columns, skip, option, labelled=False, split=split, reading=reading)
    if task.target.kind in table.rows.column_names:  # of built-in data; labels of others would be unknown
        table = replace(table, rows=Rows(table.rows.table.drop_columns([task.target.kind])))
    pieces, owners = task.input.pieces(table)
    if not len(pieces):  # recordings too short to hear anything in
        return Features(table.ids, np.zeros((len(table), model.backbone.width), np.float32))
    rows, lengths = task.input.rows(pieces)
    found = _vectors(model, cache, machine, Examples(rows, lengths, None, table=pieces))
    if list(owners) == list(range(len(table))):
        return Features(table.ids, found)
    shares = lengths[:, None] / np.bincount(owners, lengths, len(table))[owners, None]
    values = np.zeros((len(table), found.shape[1]), np.float32)
    np.add.at(values, owners, found * shares.astype(np.float32))
    return Features(table.ids, values)


def _vectors(model: Model, cache: Cache, machine: Machine, examples: Examples) -> np.ndarray:
    """float32 (n, width), the same on every process: what an exact probe would be solved on, from the same cache."""
    model.to(machine.device).eval()
    model.backbone.freeze(range(len(model.backbone.stages)))
    read = features(model, examples, machine, model.end, cache)
    values = read.matrix().float().numpy() if machine.is_main and read is not None else None
    return np.asarray(processes.shared(machine.accelerator, values))
