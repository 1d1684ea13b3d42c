"""The folder of the cache: which features, decoded examples and tables it holds, how large they are, who builds one.

FOLDER/features/KEY/           index.json, written last, and shards (cache/features.py), of decoded examples too
FOLDER/features/KEY.partial/   one that is being built, or whose build was killed and goes on with the next run
FOLDER/tables/KEY/             index.json, and the rows of a Parquet file of pictures or recordings (data/mapped.py)
FOLDER/tables/KEY.partial/     one that is being written, or left by a killed process, and written over by the next
FOLDER/fingerprints/           what files hold, under digests of their paths, sizes and times (data/stamps.py)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtransfer import documents, files
from mmtransfer.data.reading import TABLES
from mmtransfer.errors import MMTransferError, unknown

FORMAT = 2
"""Raised when the files or the parts of a key change: entries of another format have other keys, so that nothing reads
them; they are listed and removed like all others."""
INDEX = "index.json"
WAIT_SECONDS = 0.2
"""Between two looks at whether another run has finished building."""


def default_folder() -> Path:
    """$MMTRANSFER_CACHE, or `mmtransfer` in the user's cache folder."""
    own = os.environ.get("MMTRANSFER_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmtransfer"


@dataclass(frozen=True)
class Store:
    """A cache folder; it need not exist."""

    root: Path

    @property
    def features(self) -> Path:
        return self.root / "features"

    def entry(self, key: str) -> Path:
        """The folder of a finished entry."""
        return self.features / key

    def has(self, key: str) -> bool:
        return (self.entry(key) / INDEX).is_file()

    def bytes(self) -> int:
        """Of all entries, unfinished ones included."""
        return sum(files.bytes_in(folder) for folder in self._folders())

    def free(self) -> int:
        """Free bytes of the file system that the folder is or would be on."""
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def listing(self) -> list[dict[str, Any]]:
        """Each entry's index, with `key`, `bytes` on disk and `state`: ready, unfinished or damaged; oldest first."""
        found = []
        for folder in sorted(self._folders(), key=lambda folder: folder.stat().st_mtime):
            state = "unfinished" if folder.name.endswith(files.PARTIAL) else "ready"
            try:
                index = documents.read_json(folder / INDEX, {}) if state == "ready" else {}
            except (OSError, ValueError):
                index, state = {}, "damaged"
            found.append(
                {
                    **index,
                    "key": folder.name.removesuffix(files.PARTIAL),
                    "bytes": files.bytes_in(folder),
                    "state": state,
                }
            )
        return found

    def remove(self, keys: list[str]) -> int:
        """Removes entries by the beginnings of their keys, all if there are none; returns the bytes that got free.

        Raises MMTransferError for a beginning that fits no entry.
        """
        folders = self._folders()
        names = sorted(folder.name for folder in folders)
        for key in keys:
            if not any(name.startswith(key) for name in names):
                raise unknown("key", key, names or ["(the cache is empty)"], f"mmtransfer cache rm {key}")
        freed = 0
        for folder in folders:
            if not keys or folder.name.startswith(tuple(keys)):
                freed += files.bytes_in(folder)
                try:
                    discard(folder)
                except OSError as error:
                    raise MMTransferError(f"Cannot remove it: {error}", str(folder), "check its permissions") from None
        return freed

    @contextmanager
    def building(self, key: str, waiting: Callable[[], None]) -> Iterator[Path]:
        """The folder to build `key` in, this process's alone; what a killed build left is still in it.

        While another run builds the same entry, `waiting` is called again and again; whoever comes out of the wait
        looks for the finished entry first. The rest is as in `files.building`.
        """
        with files.building(self.entry(key), lambda: self.has(key), waiting) as folder:
            yield folder

    def _folders(self) -> list[Path]:
        parts = [part for part in (self.features, self.root / TABLES) if part.is_dir()]
        return [folder for part in parts for folder in part.iterdir() if folder.is_dir()]


def discard(folder: Path) -> None:
    """Removes an entry; at once for everybody who looks for it."""
    if not folder.exists():
        return
    doomed = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
    folder.rename(doomed)
    shutil.rmtree(doomed)
