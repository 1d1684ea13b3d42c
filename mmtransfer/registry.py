"""A name -> object table with a decorator; two owners of one name are an error.

A table may be open to other packages: they name what they add in entry points of its group, and it is imported when
somebody asks for it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmtransfer.errors import MMTransferError, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing (tasks, strategies, families), in order of registration, those of other packages last.

    `group`: of the entry points of other packages, None: they add nothing; `admit`: makes an entry of what an entry
    point names, or raises TypeError that says what it should be.
    """

    def __init__(
        self, kind: str, option: str, group: str | None = None, admit: Callable[[str, Any], T] = lambda _, found: found
    ) -> None:
        self.kind, self.option, self.group, self.admit = kind, option, group, admit
        self._entries: dict[str, T] = {}
        self._imported: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Registers `entry`; raises ValueError if the name has another owner."""
        if name in self._entries and self._entries[name] is not entry:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def replace(self, name: str, entry: T) -> T:
        """Registers `entry`, in the place of another of this name."""
        self._entries[name] = entry
        return entry

    def name_of(self, entry: object) -> str | None:
        """The name that an entry has, here or in another package's entry point; None where it has none."""
        for name, own in self._entries.items():
            if own is entry:
                return name
        place = f"{getattr(entry, '__module__', '')}:{getattr(entry, '__qualname__', '')}"
        return next((name for name, point in self._outside().items() if point.value == place), None)

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        point = self._outside().get(name)
        if point is None:
            raise unknown(self.kind, name, self, self.option)
        if name not in self._imported:
            self._imported[name] = self._loaded(name, point)
        return self._imported[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._outside()

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name in self._outside() if name not in self._entries)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _outside(self) -> dict[str, EntryPoint]:
        return {} if self.group is None else points(self.group)

    def _loaded(self, name: str, point: EntryPoint) -> T:
        try:
            return self.admit(name, point.load())
        except Exception as error:  # whatever somebody's package makes of being imported
            package = point.dist.name if point.dist else point.module
            raise MMTransferError(
                f"The {self.kind} {name!r} of the package {package} cannot be used: {type(error).__name__}: {error}",
                f"{self.option} {name}",
                f"mend {package} ({point.value}), or uninstall it",
            ) from error


@cache
def points(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name; nothing of their packages is imported."""
    from importlib.metadata import entry_points  # its own imports take a share of a command's start

    return {point.name: point for point in entry_points(group=group)}
