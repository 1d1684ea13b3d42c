"""Rows with named columns, from a CSV or a list of dicts, before anybody knows what the columns mean."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtransfer.errors import MMTransferError

SUFFIXES = frozenset({".csv", ".tsv"})
_LONGEST_FIELD = 1 << 27
"""Characters; Python's own limit of 131,072 is less than some documents have."""


@dataclass(frozen=True)
class Records:
    """`header`: names; `rows`: values, one a name; `places`: what to call each row in a message; `bad`: reasons by
    row number, of rows that do not fit the header."""

    header: list[str]
    rows: list[Sequence[Any]]
    places: list[str]
    bad: dict[int, str] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    @property
    def wordy(self) -> list[str]:
        """The columns of strings of which one at least, near the top, is not a number."""
        return [name for name in self.header if any(map(_is_word, self.column(name)[:100]))]


def from_csv(path: Path, where: str) -> Records:
    """Reads a CSV with a header; `,` `;` or tab between fields, whichever the header has; UTF-8.

    All values stay strings: "01" is no number, "NA" is not missing. Blank lines are left out. Rows with too few or too
    many fields are in `bad`. Raises MMTransferError for a file without rows, not in UTF-8, or with an open quote.
    """
    records: list[list[str]] = []
    lines: list[int] = []
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = next((character for character in ",;\t" if character in first), ",")
            # strict: without it, a quote that is never closed swallows the rest of the file silently
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            begin = 1
            try:
                for record in reader:
                    if record:
                        records.append(record)
                        lines.append(begin)
                    begin = reader.line_num + 1
            except csv.Error as error:
                raise MMTransferError(
                    f"Malformed CSV: {error}", f"{where}, row that begins in line {begin}", "mend the quotes there"
                ) from None
    except UnicodeDecodeError as error:
        raise MMTransferError(f"Not UTF-8 text (byte {error.start})", where, "save the file as UTF-8") from None
    except OSError as error:
        raise MMTransferError(f"Cannot read the file: {error.strerror}", where, "check the path") from None
    finally:
        csv.field_size_limit(limit)
    if not records:
        raise MMTransferError("The CSV is empty", where, "give a header and rows")
    if len(records) == 1:
        raise MMTransferError("The CSV has a header but no rows", where, "give at least one row")
    header, rows = [name.strip() for name in records[0]], records[1:]
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        twice = ", ".join(sorted({repr(name) for name in names if names.count(name) > 1}))
        raise MMTransferError(f"The header names a column twice: {twice}", f"{where}, line 1", "rename one of them")
    places = [f"row {number} (line {line})" for number, line in enumerate(lines[1:])]
    width = len(header)
    bad = {
        number: f"{len(row)} fields where the header has {width}"
        for number, row in enumerate(rows)
        if len(row) != width
    }
    for number in bad:
        rows[number] = (rows[number] + [""] * width)[:width]
    kept = [place for place, name in enumerate(header) if name]  # a nameless column is an index that was saved along
    if len(kept) < width:
        rows = [[row[place] for place in kept] for row in rows]
    return Records(names, list(rows), places, bad)


def from_dicts(dicts: Sequence[Mapping[str, Any]]) -> Records:
    """Rows given in Python; what a row does not have is None."""
    header = list(dict.fromkeys(str(name) for row in dicts for name in row))
    rows = [[row.get(name) for name in header] for row in dicts]
    return Records(header, list(rows), [f"row {number}" for number in range(len(rows))])


def _is_word(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
