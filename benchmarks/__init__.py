"""Measurements of this project, each `python -m benchmarks.NAME`. data.md says which data they read, and from where."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path

DATA = "MMTRANSFER_DATA"


def data_folder() -> Path:
    """$MMTRANSFER_DATA; where it is not set or is no folder, ends the program with a message and status 2."""
    return existing(Path(os.environ.get(DATA) or f"${DATA}"))


def existing(folder: Path) -> Path:
    """A folder of data; ends the program with a message and status 2 where there is none."""
    if not folder.is_dir():
        print(
            f"error: no such folder: {folder}\n"
            f"  where: ${DATA} is {os.environ.get(DATA) or 'not set'}\n"
            f"  do: export {DATA}=FOLDER, the folder of public data sets that benchmarks/data.md describes",
            file=sys.stderr,
        )
        sys.exit(2)
    return folder


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """The type of a word that is one of these; `choices` of argparse refuses that none is given."""

    def known(word: str) -> str:
        if word not in names:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(names)}")
        return word

    return known
