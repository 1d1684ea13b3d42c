"""Predictions as a file: CSV, TSV, JSON, JSON lines, Parquet or subtitles, as its suffix says."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mmtransfer import disk, files
from mmtransfer.cli import subtitles
from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from mmtransfer.tasks import Prediction

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", *subtitles.SUFFIXES)
COLUMNS = ("id", "label", "score")
_FORMULA = tuple("=+-@\t\r\n")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def check(path: str | Path) -> None:
    """Raises MMTransferError, before anything is computed, for a file that `write` does not write."""
    path = Path(path)
    if os.path.isdir(path):
        raise MMTransferError("The predictions go into a file, not a folder", f"--out {path}", "name a file")
    if path.suffix.lower() not in SUFFIXES:
        raise MMTransferError(
            f"Predictions are written as {', '.join(SUFFIXES)}, not {path.suffix or 'without a suffix'}",
            f"--out {path}",
            f"name the file {path.stem}.csv, for one",
        )
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def check_times(path: str | Path, timed: bool) -> None:
    """Raises MMTransferError for subtitles of a model that does not say when what it predicts was said."""
    if Path(path).suffix.lower() in subtitles.SUFFIXES and not timed:
        raise MMTransferError(
            "Subtitles are made of transcripts, and this model writes none",
            f"--out {path}",
            "name a .csv or .json file",
        )


def write(predictions: Sequence[Prediction], path: str | Path) -> None:
    """Writes id, label and score (0 to 1) of each; a number has itself as its label, and no score.

    In CSV and TSV a cell that a spreadsheet would take for a formula begins with an apostrophe, numbers aside; scores
    have six digits. In JSON and Parquet all is as it was predicted; in JSON words have their times in seconds and their
    scores. Subtitles are of one recording. The file is there whole or not at all.
    """
    path = Path(path)
    with disk.writing(path), files.replacing(path, shared=True) as place:
        _WRITERS[path.suffix.lower()](predictions, place)


def _open(path: Path) -> IO[str]:
    # halves of surrogate pairs, from names that are not UTF-8, have no place in a file that is
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def _delimited(predictions: Sequence[Prediction], path: Path, delimiter: str) -> None:
    with _open(path) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(COLUMNS)
        for one in predictions:
            writer.writerow([_cell(one.id), _cell(one.label), "" if one.score is None else f"{one.score:.6f}"])


def _cell(text: str) -> str:
    """A cell that stays text in a spreadsheet (OWASP, CSV injection); -0.5 stays the number it is."""
    return "'" + text if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _lines(predictions: Sequence[Prediction], path: Path) -> None:
    with _open(path) as file:
        for one in predictions:
            file.write(json.dumps(_timed(one), ensure_ascii=False) + "\n")


def _array(predictions: Sequence[Prediction], path: Path) -> None:
    with _open(path) as file:
        json.dump([_timed(one) for one in predictions], file, ensure_ascii=False, indent=1)
        file.write("\n")


def _row(one: Prediction) -> dict[str, Any]:
    label = one.label if one.value is None else one.value
    return dict(zip(COLUMNS, (one.id, label, one.score), strict=True))


def _timed(one: Prediction) -> dict[str, Any]:
    """A row with the words, where there are times of them."""
    words = [
        {"word": w.text, "start": round(w.start, 3), "end": round(w.end, 3), "score": round(w.score, 6)}
        for w in one.words
    ]
    return {**_row(one), "words": words} if words else _row(one)


def _subtitles(predictions: Sequence[Prediction], path: Path, suffix: str) -> None:
    if len(predictions) != 1:
        raise MMTransferError(
            f"Subtitles are of one recording, not of {len(predictions)}",
            f"--out {path}",
            "give one, or name a .json file",
        )
    with _open(path) as file:
        file.writelines(f"{line}\n" for line in subtitles.lines(predictions[0].words, suffix))


def _parquet(predictions: Sequence[Prediction], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = any(one.value is not None for one in predictions)
    kinds = (pyarrow.string(), pyarrow.float64() if numbers else pyarrow.string(), pyarrow.float64())
    rows = [{name: _whole(value) for name, value in _row(one).items()} for one in predictions]
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)


def _whole(value: Any) -> Any:
    """Text as UTF-8 can hold it."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_WRITERS: dict[str, Any] = {
    ".csv": lambda predictions, path: _delimited(predictions, path, ","),
    ".tsv": lambda predictions, path: _delimited(predictions, path, "\t"),
    ".jsonl": _lines,
    ".json": _array,
    ".parquet": _parquet,
    ".srt": lambda predictions, path: _subtitles(predictions, path, ".srt"),
    ".vtt": lambda predictions, path: _subtitles(predictions, path, ".vtt"),
}
