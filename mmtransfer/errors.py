"""The one error type of the project, and the search for the name that a user probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmtransfer import spelling
from mmtransfer.terminal import visible


class MMTransferError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, one sentence.
        where: the file, row, column or option it is about.
        do: what to do about it.

    The command line prints the three on a line each and exits with status 2. They name options as its flags
    (`--train DATA`), and the attributes keep them so; in Python the text of the error names arguments (`train=DATA`).
    Control characters in them, which names may have, are shown as escapes.

    >>> print(MMTransferError("No such file or folder", "--train trian.csv", "check the path"))
    No such file or folder
      where: train='trian.csv'
      do: check the path
    """

    def __init__(self, what: str, where: str, do: str) -> None:
        super().__init__(spelling.message(*map(visible, (what, where, do))))
        self.what, self.where, self.do = what, where, do

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Exception pickles with args, which hold the joined text; DataLoader workers send errors by pickle.
        return type(self), (self.what, self.where, self.do)


def nearest(name: str, options: Iterable[str], count: int = 3) -> list[str]:
    """The `count` entries of `options` closest to `name`, best first; the first ones in order if none is close."""
    known = list(options)
    return _close(name, known, count) or known[:count]


def _close(name: str, known: Sequence[str], count: int) -> list[str]:
    """Those at least half like `name` and nearly as like it as the nearest: beside a slip of one letter others are
    noise."""
    lowered = {option.lower(): option for option in reversed(known)}
    close = difflib.get_close_matches(name.lower(), lowered, n=count, cutoff=0.5)
    likeness = [difflib.SequenceMatcher(None, option, name.lower()).ratio() for option in close]
    return [lowered[option] for option, like in zip(close, likeness, strict=True) if like > likeness[0] - 0.1]


def suggestion(name: str, options: Iterable[str]) -> str:
    """What to do about a name that is not one of `options`: take one that is near, if any is, or any other."""
    known = list(options)
    close = ", ".join(_close(name, known, 3))
    if not known:
        return "leave it out: there is none to choose from"
    if len(known) > 12:
        return (
            f"did you mean {close}? ({len(known)} known)"
            if close
            else f"{len(known)} known: {', '.join(known[:3])} ..."
        )
    return (f"did you mean {close}?; " if close else "") + f"known: {', '.join(known)}"


def unknown(kind: str, name: str, options: Iterable[str], where: str) -> MMTransferError:
    """The error for a name that is not one of `options`; it names the nearest ones."""
    return MMTransferError(f"Unknown {kind} {name!r}", where, suggestion(name, options))


DAMAGED = "give the whole folder of a run, or train it again: --overwrite"


def damaged(path: Path, error: Exception) -> MMTransferError:
    """The error for a file of a run that is missing or cannot be read."""
    what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return MMTransferError(f"The run folder is damaged: {path.name} {what}", str(path), DAMAGED)
