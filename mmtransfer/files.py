"""Files that are there whole or not at all, also when the machine stops: written beside, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loads torch
    from torch import Tensor

TEMPORARY = ".tmp"
"""Behind the name of a file while it is written."""
PARTIAL = ".partial"
"""Behind the name of a folder while it is built."""


@contextmanager
def replacing(path: Path, shared: bool = False) -> Iterator[Path]:
    """A place beside `path` to write to, which becomes `path` when the block ends; nothing is left when it fails.

    `shared`: other processes may write the same file at the same time, so the place has this one's number in its name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(path) as place:
    ...     _ = place.write_text("whole")
    >>> path.read_text(), [file.name for file in path.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}" if shared else f"{path.name}{TEMPORARY}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:  # half a file would only fill a full disk
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's list of names, are on disk; not where folders cannot be synced."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # a folder that can be written need not be readable, and not every file system syncs folders
        if not (path.is_dir() and error.errno in (errno.EACCES, errno.EINVAL, errno.ENOTSUP)):
            raise


def write_bytes(path: Path, data: bytes, shared: bool = False) -> None:
    """Writes bytes; `shared` as of `replacing`."""
    with replacing(path, shared) as place:
        place.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes text as UTF-8."""
    write_bytes(path, text.encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None, shared: bool = False
) -> None:
    """Writes a safetensors file; `about`: its metadata; `shared` as of `replacing`."""
    from safetensors.torch import save_file

    with replacing(path, shared) as place:
        save_file(dict(tensors), place, None if about is None else dict(about))


def write_table(path: Path, table: Any) -> None:
    """Writes a `pyarrow.Table` as Parquet."""
    import pyarrow.parquet

    with replacing(path) as place:
        pyarrow.parquet.write_table(table, place)


def digest(path: Path, algorithm: str = "blake2b") -> str:
    """Digest of a file's bytes, hex: BLAKE2b of 16 bytes, or another `algorithm` of hashlib by its name."""
    with path.open("rb") as file:
        blake = algorithm == "blake2b"
        return hashlib.file_digest(file, (lambda: hashlib.blake2b(digest_size=16)) if blake else algorithm).hexdigest()


def remove(path: Path) -> None:
    """Removes a file, a link or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def building(final: Path, done: Callable[[], bool], waiting: Callable[[], None]) -> Iterator[Path]:
    """The folder to build `final` in, this process's alone; what a killed build left is still in it.

    While another process builds the same, `waiting` is called again and again; whoever comes out of the wait asks first
    whether it is `done`. The lock is the operating system's, so a killed process leaves none behind; where the file
    system has no locks, everybody builds in a folder of their own and the first rename wins.
    """
    shared = final.with_name(f"{final.name}{PARTIAL}")
    descriptor = None
    try:
        while descriptor is None:
            shared.mkdir(parents=True, exist_ok=True)
            opened = os.open(shared, os.O_RDONLY)
            try:
                while not _lock(opened):
                    waiting()
            except OSError:  # not "held by another" but "there are no locks"
                os.close(opened)
                with suppress(OSError):  # empty, as this process has just made it
                    shared.rmdir()
                shared = final.with_name(f"{final.name}.{os.getpid()}{PARTIAL}")
                shared.mkdir(parents=True, exist_ok=True)
                break
            except BaseException:
                os.close(opened)
                raise
            # the folder may have been renamed to the finished one, or removed, while this process waited
            if done() or _same(opened, shared):
                descriptor = opened
            else:
                os.close(opened)
        yield shared
    finally:
        if descriptor is not None:
            os.close(descriptor)


def bytes_in(folder: Path) -> int:
    """Of the files that lie in a folder, and not deeper; 0 if there is none."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # another process has just renamed or removed it
            continue
    return total


def _lock(descriptor: int) -> bool:
    """Whether the lock is ours now; OSError where there are no locks."""
    try:
        import fcntl
    except ImportError:
        raise OSError("no fcntl on this system") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(descriptor: int, path: Path) -> bool:
    try:
        one, other = os.fstat(descriptor), path.stat()
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
