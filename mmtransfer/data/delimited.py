"""CSV and its kin as people have them: any usual delimiter and encoding, with a header or without one."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Literal

from mmtransfer.data import audio, encodings, images
from mmtransfer.data.columns import GROUPS
from mmtransfer.data.kinds import ANSWERS, INPUTS
from mmtransfer.data.records import LISTED, TOP, OnDemand, Records, is_number, twice, wordy
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".psv"})
DELIMITERS = ",;\t|"
"""What may stand between fields, the likeliest first."""
_LONGEST_FIELD = 1 << 27
"""Characters; Python's own limit of 131,072 is less than some documents have."""
_USUAL = GROUPS.union(*(kind.usual for kind in (*INPUTS.values(), *ANSWERS.values())))
_LOOKED_AT = 5000
"""Rows that decide whether the first one is a header."""
_CELLS = 1_000_000
"""Fields after which fewer rows than that decide, but `TOP` at least."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_Quoting = Literal[0, 3]
"""csv.QUOTE_MINIMAL, csv.QUOTE_NONE."""


def read_csv(path: Path, where: str, named: Collection[str] = ()) -> Records:
    """Reads a CSV; all values stay strings: "01" is no number, "NA" is not missing.

    The delimiter (`,` `;` tab `|`) is the one that gives the most rows as many fields as the first row has; encodings
    as in `encodings.decode`. Blank lines are left out; rows with too few or too many fields are in `bad`. In a file
    between tabs quotes that do not close are characters like others.

    `named`: columns that the user names. The first row is the header if it has one of them, or a usual name such as
    `text`, `label` or `file_name`. Otherwise it is data, and columns are called 0, 1, ..., if one of its fields is a
    number or the name of an image or recording, or occurs again below it in a column of few different values.
    Raises MMTransferError for a file without rows, without text, or with an open quote.
    """
    text = encodings.read_text(path, where)
    delimiter = _delimiter(text, path.suffix.lower())
    survey = _survey(text, delimiter, where)
    if not survey.top:
        raise MMTransferError("The CSV is empty", where, "give a header and rows")
    if delimiter != ("\t" if path.suffix.lower() == ".tsv" else ","):
        logger.info("%s: fields between %s", where, {"\t": "tabs", ",": "commas"}.get(delimiter, repr(delimiter)))
    headless = not _is_header(survey.top, set(named))
    if headless:
        header = [str(number) for number in range(survey.widths[0])]
        last = f" to {header[-1]}" if len(header) > LISTED else ""
        logger.info("%s has no header: its columns are called %s%s", where, ", ".join(header[:LISTED]), last)
    else:
        header = [name.strip() for name in survey.top[0]]
    first = 0 if headless else 1
    lines, widths, top = survey.lines[first:], survey.widths[first:], survey.top[first : first + TOP]
    if not lines:
        raise MMTransferError("The CSV has a header but no rows", where, "give at least one row")
    # a nameless column is an index that was saved along
    places = {name: place for place, name in enumerate(header) if name}
    if len(places) < sum(map(bool, header)):
        repeated = twice(filter(None, header))
        raise MMTransferError(f"The header names a column twice: {repeated}", f"{where}, line 1", "rename one of them")
    told = "first row" if headless else "header"
    bad = {
        n: f"{width} fields where the {told} has {len(header)}"
        for n, width in enumerate(widths)
        if width != len(header)
    }

    def column(name: str, rows: Iterable[Sequence[str]] | None = None) -> list[str]:
        place = places[name]
        if rows is None:
            rows = islice((row for _, row in _parsed(text, delimiter, survey.quoting) if row), first, None)
        return [row[place] if place < len(row) else "" for row in rows]

    words = wordy(OnDemand(list(places), lambda name: column(name, top)))
    called = [f"row {number} (line {line})" for number, line in enumerate(lines)]
    return Records(list(places), OnDemand(list(places), column), called, words, bad, headless)


@dataclass(frozen=True)
class _Survey:
    """What one pass over a CSV finds: the line in which each row begins, how many fields it has, the first rows
    themselves, and the quoting with which all of them can be read. Blank rows are left out.

    The other rows are not kept: their fields, as Python's strings, need ten times the memory of the file.
    """

    lines: list[int]
    widths: list[int]
    top: list[list[str]]
    quoting: _Quoting


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
        except csv.Error:  # not this one, or a row that `_survey` will tell
            pass
        return widths.count(widths[0]) if widths and widths[0] > 1 else 0

    return max(order, key=agreeing) if any(map(agreeing, order)) else ","


def _parsed(text: str, delimiter: str, quoting: _Quoting = csv.QUOTE_MINIMAL) -> Iterator[tuple[int, list[str]]]:
    """(line it ends in, row) of every row, blank ones too."""
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        # strict: without it, a quote that is never closed swallows the rest of the file silently
        lines = (line[0] for line in _LINE.finditer(text))  # StringIO would hold it again, in four bytes a character
        reader = csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting)
        for row in reader:
            yield reader.line_num, row
    finally:
        csv.field_size_limit(limit)


def _survey(text: str, delimiter: str, where: str) -> _Survey:
    quotings: tuple[_Quoting, ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    for quoting in quotings:
        survey = _Survey([], [], [], quoting)
        begin, cells = 1, 0
        try:
            for end, row in _parsed(text, delimiter, quoting):
                if row:
                    survey.lines.append(begin)
                    survey.widths.append(len(row))
                    cells += len(row)
                    if len(survey.top) <= TOP or (len(survey.top) < _LOOKED_AT and cells < _CELLS):
                        survey.top.append(row)
                begin = end + 1
            return survey
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
    below = [row for row in rows[1:] if len(row) == len(first) and list(row) != list(rows[0])]
    for place, field in enumerate(first):
        values = [row[place].strip() for row in below]
        if field and field in values and 2 * len(set(values)) <= len(values):
            return False
    return True
