"""What a run was told about the cache, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmtransfer.cache.store import Store, default_folder

Mode = Literal["auto", "on", "off"]


@dataclass
class Figures:
    """What became of the cache, as it is used."""

    cut: str | None = None
    """Where the stored states are cut, in the last phase that had any."""
    bytes: int = 0
    """Of the states stored or found."""
    build_seconds: float = 0.0
    hits: int = 0
    """Splits whose states were there already."""
    passed: int = 0
    """Examples that went through frozen stages, to be stored or to be solved on."""
    passed_units: int = 0
    """Their tokens or samples."""
    pass_seconds: float = 0.0
    """What that took, without writing."""
    decoded: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By split, of examples that were decoded once: bytes, seconds that took, whether they were there already."""
    expected: dict[str, float] | None = None
    """Seconds that `auto` expected the frozen stages to cost with stored states and without."""


@dataclass(frozen=True)
class Cache:
    """The settings of the cache, and where its figures are counted."""

    mode: Mode = "off"
    store: Store = field(default_factory=lambda: Store(default_folder()))
    limit: float = float("inf")
    """Bytes that the folder may hold."""
    figures: Figures = field(default_factory=Figures)

    def about(self) -> dict[str, Any]:
        """What result.json says of it."""
        names = ("cut", "bytes", "build_seconds", "hits", "expected", "decoded")
        return {"mode": self.mode, **{name: getattr(self.figures, name) for name in names}}


def make(mode: Mode, folder: str | None, limit_gib: float) -> Cache:
    """The cache of a run, from its configuration."""
    return Cache(mode, Store(Path(folder).expanduser() if folder else default_folder()), limit_gib * 2**30)
