"""An image or a recording, as a table holds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict


class File(TypedDict):
    """A file by absolute path, or the bytes of one; the other is None.

    `start`, `stop`: seconds, of a recording of which this is a segment; both there, or neither.
    """

    path: str | None
    bytes: bytes | None
    start: NotRequired[float | None]
    stop: NotRequired[float | None]


def read_contents(file: Mapping[str, Any]) -> bytes:
    """The bytes of a File, wherever they are; OSError if it cannot be read."""
    return Path(file["path"]).read_bytes() if file["bytes"] is None else bytes(file["bytes"])
