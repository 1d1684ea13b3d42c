"""Rows of a table of Arrow as Python's values: what is looked up alone is made, the columns stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import pyarrow as pa


class Rows:
    """Reads an Arrow table like a `datasets.Dataset`, whose library takes a second to import.

    >>> rows = Rows(pa.table({"id": ["a", "b"], "label": [0, 1]}))
    >>> len(rows), rows[1], rows[[1, 0]]
    (2, {'id': 'b', 'label': 1}, {'id': ['b', 'a'], 'label': [1, 0]})
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def column_names(self) -> list[str]:
        return list(self.table.column_names)

    def column(self, name: str) -> list[Any]:
        """All values of a column."""
        return list(self.table.column(name).to_pylist())

    def without(self, name: str) -> Rows:
        """The same rows, a column short."""
        return Rows(self.table.drop_columns([name]))

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, place: Sequence[int]) -> dict[str, list[Any]]: ...

    def __getitem__(self, place: int | Sequence[int]) -> dict[str, Any]:
        """One row, a value a column; or several, a list a column."""
        columns = zip(self.table.column_names, self.table.columns, strict=True)
        if isinstance(place, int):
            return {name: column[place].as_py() for name, column in columns}
        return {name: [column[number].as_py() for number in place] for name, column in columns}
