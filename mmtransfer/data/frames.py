"""Data as Python's libraries hold it: frames of pandas, polars or anything that gives Arrow, mappings of columns,
Datasets of torch. None of these libraries is imported here: who has such an object has imported its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtransfer.data import arrow
from mmtransfer.data.records import Records, twice, wordy
from mmtransfer.errors import MMTransferError


def rows_of(source: Any, where: str) -> Records | list[Any] | None:
    """The rows of a frame, of a mapping of columns or of a Dataset of torch; None for what is none of these.

    Of a Dataset whose `classes` are names, labels that are numbers become these names, as torchvision means them.
    Raises MMTransferError for columns of different length or of one name, and for an Arrow table that is none.
    """
    if _is_pandas(source, "DataFrame"):
        return _records({str(name): _of_series(source.iloc[:, place]) for place, name in _names(source, where)}, where)
    if hasattr(source, "__arrow_c_stream__") and not is_series(source):
        return _of_arrow(source, where)
    if isinstance(source, Mapping):
        return _records(
            {str(name): values(column, f"column {name!r} of {where}") for name, column in source.items()}, where
        )
    return _examples(source) if _is_torch_dataset(source) else None


def is_frame(source: Any) -> bool:
    """Whether it is a table with columns: of pandas, polars, pyarrow, or another library that gives Arrow."""
    return _is_pandas(source, "DataFrame") or (hasattr(source, "__arrow_c_stream__") and not is_series(source))


def is_series(source: Any) -> bool:
    """Whether it is one column of pandas or polars."""
    return type(source).__name__ == "Series" and type(source).__module__.partition(".")[0] in ("pandas", "polars")


def values(column: Any, where: str) -> list[Any]:
    """A column's values as a list, of a series with None where something is missing; MMTransferError for what is no
    column."""
    if is_series(column):
        return _of_series(column)
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        raise MMTransferError(
            f"A column cannot be a {type(column).__name__}", where, "give a list, an array or a series of values"
        )
    return list(column)


def _of_series(series: Any) -> list[Any]:
    if not _is_pandas(series, "Series"):
        return list(series.to_list())
    missing = series.isna().tolist()
    return [None if gone else value for value, gone in zip(series.tolist(), missing, strict=True)]


def _names(frame: Any, where: str) -> list[tuple[int, Any]]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise MMTransferError(f"The frame names a column twice: {twice(names)}", where, "rename one of them")
    return list(enumerate(frame.columns))


def _records(columns: Mapping[str, Sequence[Any]], where: str) -> Records:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise MMTransferError(f"The columns are not of one length: {told}", where, "give one value a row in each")
    count = next(iter(lengths.values()), 0)
    if not count:
        raise MMTransferError("The table has no rows", where, "give at least one row")
    return Records(list(columns), columns, [f"row {number}" for number in range(count)], wordy(columns))


def _of_arrow(source: Any, where: str) -> Records:
    import pyarrow as pa

    try:
        table = pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise MMTransferError(
            f"The {type(source).__name__} does not become a table: {next(iter(str(error).splitlines()), '')}",
            where,
            "give a dict of columns, or a list of dicts",
        ) from None
    return arrow.from_table(table, where)


def _is_pandas(source: Any, name: str) -> bool:
    library = sys.modules.get("pandas")
    return library is not None and isinstance(source, getattr(library, name))


def _is_torch_dataset(source: Any) -> bool:
    from torch.utils.data import Dataset

    return isinstance(source, Dataset)


def _examples(dataset: Any) -> list[Any]:
    """What a Dataset gives, (input, label) each, as rows."""
    found = [dataset[number] for number in range(len(dataset))] if hasattr(dataset, "__len__") else list(dataset)
    names = _class_names(dataset)
    return [
        (row[0], _named(row[1], names)) if isinstance(row, list | tuple) and len(row) == 2 else row for row in found
    ]


def _class_names(dataset: Any) -> list[str]:
    """The names of a Dataset's classes, as torchvision's have them; of a Subset those of the whole."""
    while dataset is not None:
        names = getattr(dataset, "classes", None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return list(names)
        dataset = getattr(dataset, "dataset", None)
    return []


def _named(label: Any, names: Sequence[str]) -> Any:
    """A label as Python holds it; the number of a class as its name."""
    if hasattr(label, "item") and getattr(label, "ndim", 1) == 0:  # a tensor or array of one number
        label = label.item()
    number = isinstance(label, int) and not isinstance(label, bool)
    return names[label] if number and 0 <= label < len(names) else label
