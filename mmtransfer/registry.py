"""A name -> object table with a decorator; two owners of one name are an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from mmtransfer.errors import unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing (tasks, strategies, families), in order of registration."""

    def __init__(self, kind: str, option: str) -> None:
        self.kind, self.option = kind, option
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Registers `entry`; raises ValueError if the name has another owner."""
        if name in self._entries and self._entries[name] is not entry:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries, self.option)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
