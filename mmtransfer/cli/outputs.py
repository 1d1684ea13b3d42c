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
from mmtransfer.terminal import visible

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


def print_lines(predictions: Sequence[Prediction], top: int = 0) -> None:
    """Prints a line each: id, label and score, then the next most likely classes up to `top`, tabs between them."""
    for one in predictions:
        ranked = best(one, top)[1:]
        score = [] if one.score is None else [f"{one.score:.4f}"]
        more = [part for name, share in ranked for part in (visible(name), f"{share:.4f}")]
        print(visible(one.id), visible(one.label), *score, *more, sep="\t")


def print_json(predictions: Sequence[Prediction], top: int = 0) -> None:
    """Prints what a .json file would hold; what a terminal would obey is escaped, as JSON has it."""
    print(json.dumps([_timed(one, top) for one in predictions], indent=1))


def best(one: Prediction, top: int) -> list[tuple[str, float]]:
    """The `top` most likely classes with their scores, best first; of equal ones the first in the model's order.

    Several labels may be right at once, so they need not be the answer's.
    """
    return sorted(one.scores.items(), key=lambda pair: -pair[1])[:top]


def write(predictions: Sequence[Prediction], path: str | Path, top: int = 0) -> None:
    """Writes id, label and score (0 to 1) of each; a number has itself as its label, and no score.

    `top`: so many of the most likely classes are written too: as columns label_1, score_1, label_2, ..., in JSON as a
    list `top` of objects.

    In CSV and TSV a cell that a spreadsheet would take for a formula begins with an apostrophe, numbers aside; scores
    have six digits. In JSON and Parquet all is as it was predicted; in JSON words have their times in seconds and their
    scores. Subtitles are of one recording. The file is there whole or not at all.
    """
    path = Path(path)
    with disk.writing(path), files.replacing(path, shared=True) as place:
        _WRITERS[path.suffix.lower()](predictions, place, top)


def _open(path: Path) -> IO[str]:
    # halves of surrogate pairs, from names that are not UTF-8, have no place in a file that is
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def _delimited(predictions: Sequence[Prediction], path: Path, delimiter: str, top: int) -> None:
    with _open(path) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([*COLUMNS, *_ranks(predictions, top)])
        for one in predictions:
            ranked = [part for name, share in best(one, top) for part in (_cell(name), f"{share:.6f}")]
            writer.writerow([_cell(one.id), _cell(one.label), "" if one.score is None else f"{one.score:.6f}", *ranked])


def _ranks(predictions: Sequence[Prediction], top: int) -> list[str]:
    """The names of the columns of the most likely classes: as many as there are."""
    count = max((len(best(one, top)) for one in predictions), default=0)
    return [f"{name}_{place}" for place in range(1, count + 1) for name in ("label", "score")]


def _cell(text: str) -> str:
    """A cell that stays text in a spreadsheet (OWASP, CSV injection); -0.5 stays the number it is."""
    return "'" + text if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _lines(predictions: Sequence[Prediction], path: Path, top: int) -> None:
    with _open(path) as file:
        for one in predictions:
            file.write(json.dumps(_timed(one, top), ensure_ascii=False) + "\n")


def _array(predictions: Sequence[Prediction], path: Path, top: int) -> None:
    with _open(path) as file:
        json.dump([_timed(one, top) for one in predictions], file, ensure_ascii=False, indent=1)
        file.write("\n")


def _row(one: Prediction) -> dict[str, Any]:
    label = one.label if one.value is None else one.value
    return dict(zip(COLUMNS, (one.id, label, one.score), strict=True))


def _timed(one: Prediction, top: int) -> dict[str, Any]:
    """A row with the most likely classes where they are asked for, and the words where there are times of them."""
    row = _row(one)
    if top:
        row["top"] = [{"label": name, "score": round(share, 6)} for name, share in best(one, top)]
    words = [
        {"word": w.text, "start": round(w.start, 3), "end": round(w.end, 3), "score": round(w.score, 6)}
        for w in one.words
    ]
    return {**row, "words": words} if words else row


def _subtitles(predictions: Sequence[Prediction], path: Path, suffix: str) -> None:
    if len(predictions) != 1:
        raise MMTransferError(
            f"Subtitles are of one recording, not of {len(predictions)}",
            f"--out {path}",
            "give one, or name a .json file",
        )
    with _open(path) as file:
        file.writelines(f"{line}\n" for line in subtitles.lines(predictions[0].words, suffix))


def _parquet(predictions: Sequence[Prediction], path: Path, top: int) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers, ranks = any(one.value is not None for one in predictions), _ranks(predictions, top)
    kinds = [pyarrow.string(), pyarrow.float64() if numbers else pyarrow.string(), pyarrow.float64()]
    kinds += [pyarrow.string(), pyarrow.float64()] * (len(ranks) // 2)
    rows = []
    for one in predictions:
        ranked = [part for pair in best(one, top) for part in pair]
        row = {**_row(one), **dict(zip(ranks, ranked, strict=False))}
        rows.append({name: _whole(value) for name, value in row.items()})
    schema = pyarrow.schema(list(zip([*COLUMNS, *ranks], kinds, strict=True)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)


def _whole(value: Any) -> Any:
    """Text as UTF-8 can hold it."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_WRITERS: dict[str, Any] = {
    ".csv": lambda predictions, path, top: _delimited(predictions, path, ",", top),
    ".tsv": lambda predictions, path, top: _delimited(predictions, path, "\t", top),
    ".jsonl": _lines,
    ".json": _array,
    ".parquet": _parquet,
    ".srt": lambda predictions, path, _: _subtitles(predictions, path, ".srt"),
    ".vtt": lambda predictions, path, _: _subtitles(predictions, path, ".vtt"),
}
