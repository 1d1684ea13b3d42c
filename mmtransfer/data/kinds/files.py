"""Inputs that are files, or the bytes of files: what images and recordings share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from mmtransfer.data.file import File
from mmtransfer.data.kinds.base import InputKind


class FileKind(InputKind):
    """A file by its path, or its bytes; in Python also what the file would hold."""

    role = "file"
    usual = frozenset(
        {"file_name", "file", "filename", "path", "file_path", "filepath"}
        | {"image", "image_path", "img", "audio", "audio_path", "audio_file", "wav"}
    )
    arrow = pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])
    empty: ClassVar[Mapping[str, None]] = {"path": None, "bytes": None}

    @abstractmethod
    def decoded(self, value: Any, rate: int) -> File | None:
        """What Python gives already decoded (a picture, samples), as a file in memory; None for anything else.

        Raises ValueError for what looks like it and cannot be used.
        """

    @abstractmethod
    def fault_of_contents(self, file: File, max_seconds: float | None) -> str | None:
        """Why a file that is there cannot be used; None if it can."""

    def read_input(self, value: Any, base: Path, rate: int) -> File:
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
    return None if os.path.getsize(path) else "the file is empty (0 bytes)"
