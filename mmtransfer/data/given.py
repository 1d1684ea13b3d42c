"""What somebody gives a model to look at: one input or many, a path or words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtransfer.data import arrow, builtin, frames
from mmtransfer.data.columns import Columns
from mmtransfer.data.kinds import INPUTS, InputKind
from mmtransfer.data.sources import READERS

TABLES = frozenset({*READERS, ".txt"})
"""Suffixes of files that hold many inputs."""


def is_words(said: str, kind: InputKind) -> bool:
    """Whether a string is a text itself, and not the name of where one lies.

    What is there is a path; so is what has a separator or ends like a file that could be read: a mistyped x.csv is
    not to be classified.

    >>> [is_words(said, INPUTS["text"]) for said in ("a great film", "no-such.csv", "folder/film")]
    [True, False, False]
    """
    if kind.line("x") is None or not said.strip() or said.startswith((builtin.PREFIX, arrow.PREFIX)):
        return False
    known = TABLES.union(*(other.suffixes for other in INPUTS.values()))
    if Path(said).suffix.lower() in known or os.path.exists(said):
        return False
    return "\n" in said or not any(mark in said for mark in (os.sep, os.altsep) if mark)


def gather(given: Any, kind: InputKind, columns: Columns) -> tuple[Any, bool]:
    """What `sources.load` takes for what was given, and whether that is one input.

    One input is a text, a picture, a recording, the path of one; also a dict with a value for each column. Many are a
    list, an array with one more axis, a series, a frame, a dict of columns, a folder, a table, a Dataset.
    """
    if isinstance(given, str) and is_words(given, kind):
        return [kind.line(given)], True
    if isinstance(given, str | Path):
        return given, kind.in_files and os.path.isfile(given) and Path(given).suffix.lower() not in TABLES
    if frames.is_series(given):
        return frames.values(given, "the inputs"), False
    if frames.is_frame(given):
        return given, False
    if isinstance(given, Mapping) and not _are_columns(given):
        return [given], True
    if kind.in_files:
        return _files(given, kind)
    if isinstance(given, np.ndarray):
        given = (given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given).tolist()
    if _is_one_text(given, kind, columns):
        return [given], True
    return given, False


def _are_columns(given: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds columns, or the parts of one input: samples and their rate are that."""
    if "sampling_rate" in given or "bytes" in given:
        return False
    return all(not isinstance(value, str | bytes | Path) and hasattr(value, "__len__") for value in given.values())


def _files(given: Any, kind: InputKind) -> tuple[Any, bool]:
    """Of pictures and recordings: an array has one axis more where it holds several."""
    axes = getattr(given, "ndim", None)
    if axes is not None:
        single = axes == 1 if kind.name == "audio" else axes == 2 or (axes == 3 and _is_coloured(given))
        return ([given], True) if single else (list(given), False)
    rated = isinstance(given, tuple) and len(given) == 2 and hasattr(given[0], "ndim") and not hasattr(given[1], "ndim")
    return ([given], True) if isinstance(given, bytes | Image.Image) or rated else (given, False)


def _is_coloured(pixels: Any) -> bool:
    """Whether three axes are one picture, and not several grey ones; a tensor may have its channels first."""
    return pixels.shape[2] == 3 or (not isinstance(pixels, np.ndarray) and pixels.shape[0] in (1, 3))


def _is_one_text(given: Any, kind: InputKind, columns: Columns) -> bool:
    """Whether a sequence of texts is one input: a pair where pairs are classified, a list of words where those are."""
    if not isinstance(given, list | tuple) or not given or not all(isinstance(part, str) for part in given):
        return False
    if kind.pairs:
        return bool(columns.paired) and isinstance(given, tuple) and len(given) == 2
    return True
