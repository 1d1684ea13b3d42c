"""Rows with named columns, from any kind of file, before anybody knows what the columns mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Records:
    """`header`: names; `columns`: values by name, all of one length (a column may be made when asked for); `places`:
    what to call each row in a message; `wordy`: the columns of strings of which one at least, near the top, is not a
    number; `bad`: reasons by row number, of rows that cannot be read; `headless`: the names were made up here, because
    the file has none."""

    header: list[str]
    columns: Mapping[str, Sequence[Any]]
    places: list[str]
    wordy: list[str]
    bad: dict[int, str] = field(default_factory=dict)
    headless: bool = False

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: str) -> list[Any]:
        """All values of a column: strings of a CSV; of other files what they hold, lists among them."""
        return list(self.columns[name])


def from_dicts(
    dicts: Sequence[Mapping[str, Any]], places: Sequence[str] | None = None, bad: Mapping[int, str] | None = None
) -> Records:
    """Rows as mappings, each with names of its own; what a row does not have is None."""
    header = list(dict.fromkeys(str(name) for row in dicts for name in row))
    columns = {name: [row.get(name) for row in dicts] for name in header}
    told = list(places) if places is not None else [f"row {number}" for number in range(len(dicts))]
    return Records(header, columns, told, wordy(columns), dict(bad or {}))


def wordy(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns that hold words: of the first 100 values one at least is a string that is not a number."""
    return [name for name, values in columns.items() if any(map(is_word, values[:100]))]


def is_word(value: Any) -> bool:
    """Whether a value is a string, not empty, that is not a number."""
    return isinstance(value, str) and bool(value) and not is_number(value)


def is_number(text: str) -> bool:
    """Whether Python reads the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def twice(names: Iterable[str]) -> str:
    """The names that occur more than once, quoted, for a message."""
    known = list(names)
    return ", ".join(sorted({repr(name) for name in known if known.count(name) > 1}))
