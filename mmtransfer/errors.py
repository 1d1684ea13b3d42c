"""The one error type of the project, and the search for the name that a user probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from mmtransfer.terminal import visible


class MMTransferError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, one sentence.
        where: the file, row, column or option it is about.
        do: what to do about it.

    The command line prints the three on a line each and exits with status 2; control characters in them, which names
    may have, are shown as escapes.
    """

    def __init__(self, what: str, where: str, do: str) -> None:
        shown = [visible(part) for part in (what, where, do)]
        super().__init__("{}\n  where: {}\n  do: {}".format(*shown))
        self.what, self.where, self.do = what, where, do

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Exception pickles with args, which hold the joined text; DataLoader workers send errors by pickle.
        return type(self), (self.what, self.where, self.do)


def nearest(name: str, options: Iterable[str], count: int = 3) -> list[str]:
    """The `count` entries of `options` closest to `name`, best first; the first ones in order if none is close."""
    known = list(options)
    lowered = {option.lower(): option for option in reversed(known)}
    close = difflib.get_close_matches(name.lower(), lowered, n=count, cutoff=0.5)
    return [lowered[option] for option in close] or known[:count]


def unknown(kind: str, name: str, options: Iterable[str], where: str) -> MMTransferError:
    """The error for a name that is not one of `options`; it names the nearest ones."""
    known = list(options)
    suggestions = ", ".join(nearest(name, known))
    listing = f" ({len(known)} known)" if len(known) > 12 else f"; known: {', '.join(known)}"
    return MMTransferError(f"Unknown {kind} {name!r}", where, f"did you mean {suggestions}?{listing}")


def damaged(path: Path, error: Exception) -> MMTransferError:
    """The error for a file of a run that is missing or cannot be read."""
    what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return MMTransferError(f"The run folder is damaged: {path.name} {what}", str(path), "train it again: --overwrite")


def unwritable(where: str, error: OSError) -> MMTransferError:
    """The error for a file that cannot be written."""
    return MMTransferError(f"Not written: {error.strerror or error}", where, "give another place, or make room there")
