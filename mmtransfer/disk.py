"""What a disk can refuse: told as an error that names the file, whichever library has met it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmtransfer.errors import MMTransferError

ROOM = "make room, then do it again (a run that had begun goes on with --resume)"
PLACE = "give a place that can be written"
REASONS = {
    errno.ENOSPC: ("the disk is full", ROOM),
    errno.EDQUOT: ("the quota is used up", ROOM),
    errno.EFBIG: ("files may not be so large here", ROOM),
    errno.EIO: ("the disk does not answer", "look after the disk, then do it again"),
    errno.EROFS: ("the disk is read-only", PLACE),
    errno.EACCES: ("it is not allowed", PLACE),
    errno.EPERM: ("it is not allowed", PLACE),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ELOOP: ("its links go round in a circle", PLACE),
    errno.ENOENT: ("its folder is gone", "leave the folder where it is while it is written, and do it again"),
    errno.ENOTDIR: ("a file stands where its folder should be", PLACE),
    errno.EEXIST: ("something else of this name stands there", PLACE),
    errno.EISDIR: ("a folder of this name stands there", PLACE),
}
"""By the system's number of an error: what it means for somebody who writes, and what to do."""
OF_THE_DISK = frozenset(REASONS) - {errno.ENOENT}
"""Those that are no mistake of a program, whoever meets them."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Those that say that there is no room."""
LONGEST = len("checkpoints/best-000000000000.tmp/optimizer.safetensors") + 64
"""Room for names in a folder of ours."""


def number_of(error: BaseException) -> int | None:
    """The system's number of an error, also where only the text tells it, as libraries written in Rust and C++ do."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"(?:os error|errno) (\d+)", str(error))
    return int(found[1]) if found else None


def refusal(path: str | Path, number: int) -> MMTransferError:
    """The error for a file that cannot be written; `number`: one of REASONS."""
    reason, do = REASONS[number]
    return MMTransferError(f"Cannot write {Path(path).name}: {reason}", str(path), do)


def refuses(error: BaseException) -> bool:
    """Whether an error is a disk's refusal, and no mistake of a program."""
    return isinstance(error, OSError) and number_of(error) in OF_THE_DISK


def refused(error: BaseException, place: str | Path = "a file") -> MMTransferError:
    """The error for a refusal that was met while reading or writing, nobody knows where; `refuses(error)` is true."""
    number = number_of(error)
    what = f"The disk refuses: {getattr(error, 'strerror', None) or error}"
    return MMTransferError(what, str(getattr(error, "filename", None) or place), REASONS[number or 0][1])


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What a disk refuses while `path` is written becomes an MMTransferError that names the file."""
    try:
        yield
    except MMTransferError:
        raise
    except Exception as error:  # tokenizers raises bare ones
        number = number_of(error)
        if number not in REASONS:
            raise
        own = getattr(error, "filename", None)
        raise refusal(own if isinstance(own, str) else path, number) from None


def check(path: Path, where: str) -> None:
    """Raises MMTransferError where no folder can be made at `path`, or written if it is there; makes nothing."""
    place, do = path.absolute(), "give another one"
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise MMTransferError("The name cannot be written in this system's encoding", where, do) from None
    if "\0" in str(path):
        raise MMTransferError("A name cannot hold a null character", where, do)
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        what = "That is a file" if place == path.absolute() else f"{place} is a file, so it has no folders"
        raise MMTransferError(what, where, do)
    names = path.absolute().parts[len(place.parts) :]
    longest, whole = _limits(place)
    if any(len(os.fsencode(name)) > longest for name in names) or len(os.fsencode(path)) + LONGEST > whole:
        limits = f"{longest} bytes a name, {whole} in all"
        raise MMTransferError(f"The name is too long: a file system takes {limits}", where, "give a shorter one")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MMTransferError(f"{place} cannot be written", where, do)


def _limits(place: Path) -> tuple[int, int]:
    """Bytes of the longest name, and of the longest path, on the file system of a folder."""
    try:
        return os.pathconf(place, "PC_NAME_MAX"), os.pathconf(place, "PC_PATH_MAX")
    except (AttributeError, OSError, ValueError):  # a system that does not tell
        return 255, 4096
