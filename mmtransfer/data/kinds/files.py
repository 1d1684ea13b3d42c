"""Inputs that are files, or the bytes of files: what images and recordings share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from mmtransfer.data.file import File, Place
from mmtransfer.data.kinds.base import InputKind

_SOMETIMES = {"start": pa.float64(), "stop": pa.float64(), "offset": pa.int64(), "length": pa.int64()}
"""Parts of a File that columns have only where a row has them."""


class FileKind(InputKind):
    """A file by its path, or its bytes; in Python also what the file would hold."""

    role = "file"
    usual = frozenset(
        {"file_name", "file", "filename", "path", "file_path", "filepath"}
        | {"image", "image_path", "img", "audio", "audio_path", "audio_file", "wav"}
    )
    arrow = pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])
    empty: ClassVar[Mapping[str, None]] = {"path": None, "bytes": None}
    reader: ClassVar[str]
    """Name and version of the library that reads such files: another may read others."""

    @abstractmethod
    def decoded(self, value: Any, rate: int) -> File | None:
        """What Python gives already decoded (a picture, samples), as a file in memory; None for anything else.

        Raises ValueError for what looks like it and cannot be used.
        """

    @abstractmethod
    def fault_of_contents(self, file: File, max_seconds: float | None) -> str | None:
        """Why a file that is there cannot be used; None if it can."""

    def read_input(self, value: Any, base: Path, rate: int) -> File:
        if isinstance(value, Place):
            return {"path": value.path, "bytes": None, "offset": value.offset, "length": value.length}
        if isinstance(value, str | Path):
            if not str(value).strip():
                raise ValueError("the file name is empty")
            return {"path": os.path.abspath(base / value), "bytes": None}
        if isinstance(value, bytes):
            return {"path": None, "bytes": value}
        file = self.decoded(value, rate)
        if file is not None:
            return file
        if isinstance(value, dict):
            return self._embedded(value, base)
        raise ValueError(f"a {type(value).__name__} is no {self.name} input: give a path, bytes or an array")

    def _embedded(self, value: Mapping[str, Any], base: Path) -> File:
        """A cell as datasets stores images and recordings: `bytes`, or `path`."""
        if value.get("bytes") is not None:
            if not isinstance(value["bytes"], bytes | bytearray | memoryview):
                raise ValueError(f"bytes must be bytes, not a {type(value['bytes']).__name__}")
            return {"path": None, "bytes": bytes(value["bytes"])}
        if value.get("path"):
            if not isinstance(value["path"], str | Path):
                raise ValueError(f"a path must be a text, not a {type(value['path']).__name__}")
            return {"path": os.path.abspath(base / value["path"]), "bytes": None}
        raise ValueError(f"there is neither path nor bytes, only {', '.join(map(str, value)) or 'nothing'}")

    def extent(self, file: File) -> tuple[int, int]:
        """Of a recording its number of samples, and how many are a second; zeros for others. The file can be used."""
        return 0, 0

    def arrow_of(self, values: Sequence[Any]) -> pa.DataType:
        """With the times of segments, and with places in larger files, where there are any."""
        there = set().union(*values)
        return pa.struct([*self.arrow, *((name, kind) for name, kind in _SOMETIMES.items() if name in there)])

    def fault(self, value: File, max_seconds: float | None) -> str | None:
        return _fault_on_disk(value) or self.fault_of_contents(value, max_seconds)


def _fault_on_disk(file: File) -> str | None:
    path = file["path"]
    if path is None:
        return None if file["bytes"] else "there are no bytes"
    if not os.path.exists(path):
        return f"no such file: {path}"
    if not os.path.isfile(path):
        return f"not a file: {path}"
    if file.get("offset") is not None:
        return None if file["length"] else "there are no bytes"
    return None if os.path.getsize(path) else "the file is empty (0 bytes)"
