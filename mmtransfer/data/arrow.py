"""Tables of Arrow: Parquet files, `datasets.Dataset` objects, datasets saved to disk or on the hub.

Nothing is decoded by `datasets`: images and recordings stay the bytes or paths they are stored as, so that recordings
need no torchcodec. Columns become Python values when they are asked for; many bytes stay in their files (`mapped`).
"""

from __future__ import annotations

import json
import logging
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mmtransfer import hub
from mmtransfer.data import mapped, missing
from mmtransfer.data.reading import Reading
from mmtransfer.data.records import TOP, Records, twice, wordy
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger("mmtransfer")
SUFFIXES = frozenset({".parquet", ".pq"})
PREFIX = missing.HUB
PARTS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""For each split of a run, how the part of a DatasetDict may be called, the first one that is there."""


def is_saved(folder: Path) -> bool:
    """Whether a folder is what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` writes."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read_parquet(path: Path, where: str, reading: Reading | None = None) -> Records:
    """The rows of a Parquet file; MMTransferError if it is none. `reading`: where it may be unpacked."""
    try:
        unpacked = mapped.unpack(path, reading or Reading())
        table, known = mapped.open_table(unpacked) if unpacked else (pyarrow.parquet.read_table(path), {})
        list(table.column_names)  # names that are not UTF-8 are found when they are asked for
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MMTransferError(
            f"Not a readable Parquet file: {_first(error)}", where, "write the file again, or give a CSV"
        ) from None
    return from_table(table, where, known)


def from_table(
    table: pa.Table, where: str, known: Mapping[int, str] = types.MappingProxyType({}), rows: np.ndarray | None = None
) -> Records:
    """The rows of an Arrow table, or those of these numbers, in this order.

    Columns that its `huggingface` metadata calls ClassLabel hold the labels' names; a negative class number is a
    missing label, as the hub's unlabelled test sets have it. Metadata that cannot be read is left out of account,
    aloud. `known`: the Arrow files that the table maps, as `mapped.places` takes them: files stay in them.
    Raises MMTransferError for two columns of one name, and when a column is asked for that is damaged.
    """
    count = table.num_rows if rows is None else len(rows)
    if not count:
        raise MMTransferError("The table has no rows", where, "give at least one row")
    header = list(table.column_names)
    if len(set(header)) < len(header):
        raise MMTransferError(f"The table names a column twice: {twice(header)}", where, "rename one of them")
    columns = _Columns(table, _class_names(table.schema, where), where, known, rows)
    strings = [name for name in header if _is_string(table.schema.field(name).type) or name in columns.names]
    told = wordy({name: columns.top(name) for name in strings})
    return Records(header, columns, [f"row {number}" for number in range(count)], told, files=columns.files)


def from_dataset(dataset: datasets.Dataset, where: str) -> Records:
    """The rows of a Dataset, in its order (filtered and shuffled as it is)."""
    chosen = dataset._indices
    rows = None if chosen is None else chosen.column(0).to_numpy()
    return from_table(dataset.data.table, where, mapped.mapped_files(dataset), rows)


def saved(folder: Path, split: str, alone: bool, where: str) -> Records:
    """The rows of a dataset saved to disk; of a DatasetDict the part for `split` (`part`).

    Raises MMTransferError for a folder that is damaged, or that this version of datasets does not know.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
        return from_dataset(part(loaded, split, alone, where), where)
    except MMTransferError:
        raise
    except Exception as error:  # the library trusts its files: damage shows anywhere, as any kind of error
        raise MMTransferError(
            f"Not readable as a saved dataset: {_first(error)}",
            where,
            f"it is damaged, or of another version than datasets {datasets.__version__}: save it again with this one, "
            "or write it with to_parquet",
        ) from None


def part(
    loaded: datasets.Dataset | Mapping[str, datasets.Dataset], split: str, alone: bool, where: str
) -> datasets.Dataset:
    """A Dataset itself; of a DatasetDict the part whose name stands for `split` (PARTS).

    `alone`: a part that is the only one is taken whatever its name.
    Raises MMTransferError naming the parts if there is none.
    """
    if not isinstance(loaded, Mapping):
        return loaded
    if alone and len(loaded) == 1:
        return next(iter(loaded.values()))
    for name in PARTS[split]:
        if name in loaded:
            return loaded[name]
    there = ", ".join(map(repr, loaded))
    raise MMTransferError(
        f"The dataset has no {split} part, only {there}",
        where,
        "leave the option out" if split != "train" else "give one part of it, such as hub:NAME:CONFIG:SPLIT or a path",
    )


def from_hub(source: str, split: str, alone: bool, where: str) -> Records:
    """The rows of `hub:NAME[:CONFIG[:SPLIT]]`; CONFIG may be empty, and without SPLIT it is the part for `split`.

    What the local cache has is used where the hub is out of reach. Raises MMTransferError where neither has it.
    """
    name, config, wanted, *rest = [*source.removeprefix(PREFIX).split(":"), "", ""]
    if not name or any(rest):
        raise MMTransferError(
            f"Not the name of a dataset on the hub: {source!r}", where, "write hub:ORG/NAME[:CONFIG[:SPLIT]]"
        )
    import datasets

    with _offline(not hub.reachable()) as offline:
        try:
            loaded = datasets.load_dataset(name, config or None, split=wanted or None)
        except Exception as error:  # the library raises some twenty kinds, those of its HTTP client among them
            if offline:
                raise MMTransferError(
                    f"Could not get {name!r}: not in the local cache, and {hub.endpoint()} is out of reach",
                    where,
                    "check the network, or give a local file: Parquet, CSV, or a folder of save_to_disk",
                ) from None
            raise MMTransferError(
                f"Could not get {name!r}: {_first(error)}", where, "check name, configuration and split"
            ) from None
    return from_dataset(part(loaded, split, alone, where), where)


@contextmanager
def _offline(offline: bool) -> Iterator[bool]:
    """Tells datasets not to try the hub, for the time being."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or offline
    try:
        yield before or offline
    finally:
        datasets.config.HF_HUB_OFFLINE = before


class _Columns(Mapping[str, list[Any]]):
    """Columns of an Arrow table as Python values, made anew each time, with names in the place of class numbers.

    `known`, `rows`: as in `from_table`.
    """

    def __init__(
        self,
        table: pa.Table,
        names: Mapping[str, list[str]],
        where: str,
        known: Mapping[int, str],
        rows: np.ndarray | None,
    ) -> None:
        self.table, self.names, self.where, self.known, self.rows = table, names, where, known, rows

    def __getitem__(self, name: str) -> list[Any]:
        return self._values(name, self._taken(name, self.rows))

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_columns)

    def top(self, name: str) -> list[Any]:
        rows = None if self.rows is None else self.rows[:TOP]
        return self._values(name, self._taken(name, rows).slice(0, TOP))

    def files(self, name: str) -> list[Any]:
        """As `columns[name]`, with a Place instead of bytes that lie in an Arrow file; of few bytes, with those."""
        column = self.table.column(name)
        if not self.known or column.nbytes < mapped.SMALL:
            return self[name]
        with self._readable(name):
            column.validate(full=True)
            values = mapped.places(column, self.known)
        return values if self.rows is None else [values[row] for row in self.rows.tolist()]

    def _taken(self, name: str, rows: np.ndarray | None) -> pa.ChunkedArray:
        column = self.table.column(name)
        if rows is None:
            return column
        if pa.types.is_string(column.type):  # `take` fails where what it gives has more than 2 GB
            column = column.cast(pa.large_string())
        return column.take(pa.array(rows))

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise MMTransferError(
                f"The column {name!r} cannot be read: {_first(error)}", self.where, "write the file again without it"
            ) from None

    def _values(self, name: str, column: pa.ChunkedArray) -> list[Any]:
        with self._readable(name):
            values = _python(column)
        names = self.names.get(name)
        return values if names is None else [_named(value, names) for value in values]


def _python(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column.

    In strings that are not UTF-8 each wrong byte becomes a lone surrogate, as in the names of files, so that the check
    of the examples finds the rows.

    Raises an error of Arrow where what the file says of its lengths would lead out of it.
    """
    try:
        column.validate(full=True)
        return list(column.to_pylist())
    except (pa.ArrowInvalid, UnicodeDecodeError):
        if not _is_string(column.type):
            raise
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)
    cells = column.cast(pa.large_binary())
    cells.validate(full=True)
    return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells.to_pylist()]


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _class_names(schema: pa.Schema, where: str) -> dict[str, list[str]]:
    """The labels' names by column. From the metadata's JSON itself: any version's can be read so."""
    told = (schema.metadata or {}).get(b"huggingface")
    if told is None:
        return {}
    try:
        return _named_classes(json.loads(told)["info"]["features"])
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        logger.warning("%s: its metadata cannot be read; class numbers stay numbers", where)
        return {}


def _named_classes(features: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, feature in features.items():
        while isinstance(feature, dict) and "feature" in feature:  # a list of labels
            feature = feature["feature"]
        if isinstance(feature, list) and len(feature) == 1:  # the older spelling of a list
            feature = feature[0]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            found[name] = [str(label) for label in feature["names"]]
    return found


def _is_string(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__) or type(error).__name__
