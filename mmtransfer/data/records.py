"""Rows with named columns, from any kind of file, before anybody knows what the columns mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOP = 100
"""Rows that tell whether a column holds words."""
LISTED = 20
"""Names of columns that a message lists."""


@dataclass(frozen=True)
class Records:
    """`header`: names; `columns`: values by name, all of one length (a column may be made when asked for); `places`:
    what to call each row in a message; `wordy`: the columns of strings of which one at least, near the top, is not a
    number; `bad`: reasons by row number, of rows that cannot be read; `headless`: the names were made up here, because
    the file has none; `files`: the values of a column of files, where their bytes need not be read, by its name."""

    header: list[str]
    columns: Mapping[str, Sequence[Any]]
    places: list[str]
    wordy: list[str]
    bad: dict[int, str] = field(default_factory=dict)
    headless: bool = False
    files: Callable[[str], list[Any]] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: str) -> list[Any]:
        """All values of a column: strings of a CSV; of other files what they hold, lists among them."""
        return list(self.columns[name])


class OnDemand(Mapping[str, Sequence[Any]]):
    """Columns that are made when they are asked for: of thousands a run needs two or three.

    `names`: of all columns; `make`: the values of one of them.
    """

    def __init__(self, names: Sequence[str], make: Callable[[str], Sequence[Any]]) -> None:
        self.names, self.make = names, make

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def from_dicts(
    dicts: Sequence[Mapping[str, Any]], places: Sequence[str] | None = None, bad: Mapping[int, str] | None = None
) -> Records:
    """Rows as mappings, each with names of its own; what a row does not have is None."""
    header = list(dict.fromkeys(str(name) for row in dicts for name in row))
    columns = OnDemand(header, lambda name: [row.get(name) for row in dicts])
    told = list(places) if places is not None else [f"row {number}" for number in range(len(dicts))]
    # by row, because rows may have thousands of names that no other has
    words = {str(name) for row in dicts[:TOP] for name, value in row.items() if is_word(value)}
    return Records(header, columns, told, [name for name in header if name in words], dict(bad or {}))


def wordy(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns that hold words: of the first 100 values one at least is a string that is not a number."""
    return [name for name, values in columns.items() if any(map(is_word, values[:TOP]))]


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
    return ", ".join(sorted(repr(name) for name, count in Counter(names).items() if count > 1))


def listing(names: Sequence[str]) -> str:
    """Names quoted for a message, at most 20 of them and the number of the others."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(repr, names[:LISTED])) + more
