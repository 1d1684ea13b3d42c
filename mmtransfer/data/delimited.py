"""CSV and its kin as people have them: any usual delimiter and encoding, with a header or without one."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal

from mmtransfer.data import audio, encodings, images
from mmtransfer.data.columns import NAMES
from mmtransfer.data.records import Records, is_number, twice, wordy
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".psv"})
DELIMITERS = ",;\t|"
"""What may stand between fields, the likeliest first."""
_LONGEST_FIELD = 1 << 27
"""Characters; Python's own limit of 131,072 is less than some documents have."""
_USUAL = frozenset[str]().union(*NAMES.values())
_LOOKED_AT = 5000
"""Rows that decide whether the first one is a header."""


def read(path: Path, where: str, named: Collection[str] = ()) -> Records:
    """Reads a CSV; all values stay strings: "01" is no number, "NA" is not missing.

    The delimiter (`,` `;` tab `|`) is the one that gives the most rows as many fields as the first row has; encodings
    as in `encodings.decode`. Blank lines are left out; rows with too few or too many fields are in `bad`. In a file
    between tabs quotes that do not close are characters like others.

    `named`: columns that the user names. The first row is the header if it has one of them, or a usual name such as
    `text`, `label` or `file_name`. Otherwise it is data, and columns are called 0, 1, ..., if one of its fields is a
    number or the name of an image or recording, or occurs again below it in a column of few different values.
    Raises MMTransferError for a file without rows, without text, or with an open quote.
    """
    text = encodings.read(path, where)
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        delimiter = _delimiter(text, path.suffix.lower())
        lines, rows = _rows(text, delimiter, where)
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise MMTransferError("The CSV is empty", where, "give a header and rows")
    if delimiter != ("\t" if path.suffix.lower() == ".tsv" else ","):
        logger.info("%s: fields between %s", where, {"\t": "tabs", ",": "commas"}.get(delimiter, repr(delimiter)))
    headless = not _is_header(rows, set(named))
    if headless:
        header = [str(number) for number in range(len(rows[0]))]
        logger.info("%s has no header: its columns are called %s", where, ", ".join(header))
    else:
        header, rows, lines = [name.strip() for name in rows[0]], rows[1:], lines[1:]
    if not rows:
        raise MMTransferError("The CSV has a header but no rows", where, "give at least one row")
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise MMTransferError(
            f"The header names a column twice: {twice(names)}", f"{where}, line 1", "rename one of them"
        )
    width = len(header)
    bad = {
        number: f"{len(row)} fields where the {'first row' if headless else 'header'} has {width}"
        for number, row in enumerate(rows)
        if len(row) != width
    }
    for number in bad:
        rows[number] = (rows[number] + [""] * width)[:width]
    # a nameless column is an index that was saved along
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header) if name}
    places = [f"row {number} (line {line})" for number, line in enumerate(lines)]
    return Records(names, columns, places, wordy(columns), bad, headless)


def _delimiter(text: str, suffix: str) -> str:
    order = "\t" + DELIMITERS if suffix in (".tsv", ".tab") else DELIMITERS

    def agreeing(delimiter: str) -> int:
        """Of the first 100 rows, how many have as many fields as the first, if that has more than one."""
        widths: list[int] = []
        try:
            for _, row in _parsed(text, delimiter):
                widths.append(len(row))
                if len(widths) == 100:
                    break
        except csv.Error:  # not this one, or a row that `_rows` will tell
            pass
        return widths.count(widths[0]) if widths and widths[0] > 1 else 0

    return max(order, key=agreeing) if any(map(agreeing, order)) else ","


def _parsed(text: str, delimiter: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL) -> Iterator[tuple[int, list[str]]]:
    """(line it ends in, row) of every row, blank ones too."""
    # strict: without it, a quote that is never closed swallows the rest of the file silently
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, quoting=quoting)
    for row in reader:
        yield reader.line_num, row


def _rows(text: str, delimiter: str, where: str) -> tuple[list[int], list[list[str]]]:
    """Lines in which rows begin, and the rows, blank ones left out."""
    quotings: tuple[Literal[0, 3], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    for quoting in quotings:
        lines: list[int] = []
        rows: list[list[str]] = []
        begin = 1
        try:
            for end, row in _parsed(text, delimiter, quoting):
                if row:
                    rows.append(row)
                    lines.append(begin)
                begin = end + 1
            return lines, rows
        except csv.Error as error:
            place, reason = f"{where}, row that begins in line {begin}", str(error)
        if delimiter == "\t" and quoting == csv.QUOTE_MINIMAL:
            logger.info("%s: a quote does not close (%s); quotes are read as they stand", place, reason)
            continue
        break
    raise MMTransferError(f"Malformed CSV: {reason}", place, "mend the quotes there")


def _is_header(rows: Sequence[Sequence[str]], named: set[str]) -> bool:
    first = [field.strip() for field in rows[0]]
    told = [field for field in first if field]
    if named & set(told) or _USUAL & {field.lower() for field in told}:
        return True
    if told == [str(number) for number in range(len(told))]:  # pandas names columns so
        return True
    media = images.SUFFIXES | audio.SUFFIXES
    if any(is_number(field) or PurePath(field).suffix.lower() in media for field in told):
        return False
    below = [row for row in rows[1:_LOOKED_AT] if len(row) == len(first) and list(row) != list(rows[0])]
    for place, field in enumerate(first):
        values = [row[place].strip() for row in below]
        if field and field in values and 2 * len(set(values)) <= len(values):
            return False
    return True
