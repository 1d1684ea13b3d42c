"""An image or a recording, as a table holds it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict


class File(TypedDict):
    """A file by absolute path, the bytes of one, or one that lies within a larger file, such as a table."""

    path: str | None
    """Of the file, or of the larger one; None where there are only bytes."""
    bytes: bytes | None
    """What the file holds, where it is in memory; this is read then, and not the path."""
    offset: NotRequired[int | None]
    """The byte of the larger file at which this one begins."""
    length: NotRequired[int | None]
    """Its number of bytes."""
    start: NotRequired[float | None]
    """The second at which a segment of a recording begins; there with `stop`, or not at all."""
    stop: NotRequired[float | None]
    """The second at which it ends."""


class Place(NamedTuple):
    """Where the bytes of a file lie within a larger one."""

    path: str
    offset: int
    length: int


def read_contents(file: Mapping[str, Any]) -> bytes:
    """The bytes of a File, wherever they are; OSError if it cannot be read."""
    if file["bytes"] is not None:
        return bytes(file["bytes"])
    if file.get("offset") is None:
        return Path(file["path"]).read_bytes()
    with open(file["path"], "rb") as whole:
        whole.seek(file["offset"])
        data = whole.read(file["length"])
    if len(data) < file["length"]:
        raise OSError(f"{file['path']} has been cut short")
    return data


def openable(file: Mapping[str, Any]) -> str | io.BytesIO:
    """What a library can open: the path of a File that is one of its own, else its bytes; OSError as `read_contents`.

    >>> openable({"path": "/a.png", "bytes": None})
    '/a.png'
    """
    alone = file["bytes"] is None and file.get("offset") is None
    return str(file["path"]) if alone else io.BytesIO(read_contents(file))


def location(file: Mapping[str, Any], called: str) -> str:
    """Where a File is, for a message; `called`: what it is, such as "an image".

    >>> location({"path": "/a.arrow", "bytes": None, "offset": 8, "length": 5}, "an image")
    'an image in /a.arrow (5 bytes from byte 8 on)'
    >>> location({"path": None, "bytes": b"..."}, "an image")
    'an image in memory'
    """
    if file["path"] is None:
        return f"{called} in memory"
    if file.get("offset") is None:
        return str(file["path"])
    return f"{called} in {file['path']} ({file['length']} bytes from byte {file['offset']} on)"
