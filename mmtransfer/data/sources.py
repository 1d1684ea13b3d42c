"""From what a user gives (a folder, a table, a dataset, a list, `builtin:NAME`) to a checked table of examples.

Nothing of `datasets` but its tables is used: its readers turn "01" into 1 and "NA" into nothing, and its audio needs
a library that torchaudio's last release does not bring.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmtransfer.config import told
from mmtransfer.data import (
    arrow,
    builtin,
    conll,
    delimited,
    folders,
    frames,
    jsonlines,
    wellformed,
)
from mmtransfer.data.checks import Draft, as_table, finish
from mmtransfer.data.columns import Columns
from mmtransfer.data.file import File
from mmtransfer.data.kinds import INPUTS
from mmtransfer.data.missing import refuse_absent
from mmtransfer.data.reading import Reading
from mmtransfer.data.records import Records
from mmtransfer.data.rows import Request, from_lines, from_list, from_records
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

__all__ = ["Columns", "File", "Table", "load", "refuse_missing"]
READERS: Mapping[str, Callable[[Path, str, Columns, Reading | None], Records]] = {
    **dict.fromkeys(delimited.SUFFIXES, lambda path, where, columns, _: delimited.read_csv(path, where, columns.named)),
    **dict.fromkeys(jsonlines.SUFFIXES, lambda path, where, *_: jsonlines.read_json(path, where)),
    **dict.fromkeys(arrow.SUFFIXES, lambda path, where, columns, reading: arrow.read_parquet(path, where, reading)),
    **dict.fromkeys(conll.SUFFIXES, lambda path, where, *_: conll.read_conll(path, where)),
}
"""By suffix, what reads a table."""


def load(
    source: Any,
    input: str,
    columns: Columns = Columns(),  # noqa: B008  # frozen
    skip_bad: bool = False,
    option: str = "--train",
    labelled: bool = True,
    split: str = "train",
    max_seconds: float | None = None,
    reading: Reading | None = None,
) -> Table:
    """The examples of a source, each one looked at.

    `source`: a table, which is a CSV or TSV (`delimited.read_csv`), JSON (`jsonlines.read_json`), Parquet
    (`arrow.read_parquet`) or, of words and tags, CoNLL file (`conll.read_conll`): text and label; a file column,
    relative to the table, or the bytes, and label or transcript. A folder: one with metadata.csv, .tsv, .jsonl or
    .parquet; of files with a folder for each class, or with a .txt that has the transcript beside each; what
    `save_to_disk` of datasets wrote.
    `hub:ORG/NAME[:CONFIG[:SPLIT]]`; `builtin:NAME`. Without labels also a folder of files, one file, a .txt with a
    sentence a line. In Python a `datasets.Dataset` or DatasetDict, a frame (pandas, polars, Arrow), a dict of columns,
    a Dataset of torch that gives (input, label), a list of dicts, of pairs (input, label), or without labels of inputs:
    texts, pairs of texts, lists of words, paths, PIL images, uint8 arrays (height, width, 3);
    recordings as (samples, rate) or {"array": samples, "sampling_rate": rate} with a float array, or as that array
    alone, which is taken at `columns.rate`.
    `input`: the kind of the inputs, of `kinds.INPUTS`; `columns`: the user's choice of columns, and the kind of the
    answers; `skip_bad`: leave bad examples out instead of stopping; `option`: what the
    source is called in messages; `labelled`: whether answers are needed; if not, they are not read; `split`: which
    part of a source that has several is taken; `max_seconds`: length from which a recording with a transcript is bad;
    `reading`: where what files hold is remembered, without which they are checked only.

    Raises MMTransferError for a source that is not there, holds nothing, or holds bad examples.
    """
    kind = INPUTS[input]
    # what is trained on needs its groups, a test set from elsewhere may have none
    columns = dataclasses.replace(columns, group_needed=split == "train")
    name = str(told(source))
    asked = Request(kind, columns, labelled, f"{option} {name}")
    if isinstance(source, str) and source.startswith(builtin.PREFIX):
        return _builtin(source, asked, option, split)
    draft = _drafted(source, asked, option, split, reading)
    if columns.group is not None and columns.group_needed and draft.groups is None:
        raise MMTransferError(
            "Class folders and pairs have no columns, so no groups",
            f"--group-column {columns.group} of {asked.where}",
            "give a table, or a folder with metadata.csv",
        )
    if draft.answers is not None:
        draft.kind, (draft.answers, bad) = (
            asked.answer.name,
            asked.answer.read_answers(draft.answers, columns.separator),
        )
        draft.bad = bad | draft.bad
    wellformed.screen(draft)
    return finish(draft, input, name, option, skip_bad, labelled, max_seconds if labelled else None, reading)


def glance(source: Any, input: str, columns: Columns, option: str = "--test", split: str = "test") -> Table:
    """The examples of a source as they stand, with their answers: no file is opened, and none is looked at.

    For who has looked at them before, and wants a few again by their ids. Arguments and errors as of `load`; bad
    examples are among them, as empty inputs.
    """
    kind, name = INPUTS[input], str(told(source))
    asked = Request(kind, dataclasses.replace(columns, group_needed=False), True, f"{option} {name}")
    if isinstance(source, str) and source.startswith(builtin.PREFIX):
        return _builtin(source, asked, option, split)
    draft = _drafted(source, asked, option, split, None)
    if draft.answers is not None:
        draft.kind = asked.answer.name
        draft.answers, _ = asked.answer.read_answers(draft.answers, columns.separator)
    return as_table(draft, input, name)


def refuse_missing(source: Any, option: str, labelled: bool = True) -> None:
    """Raises MMTransferError for a path where there is nothing; other sources pass. The rest is as in `load`."""
    if not isinstance(source, str | Path) or str(source).startswith((builtin.PREFIX, arrow.PREFIX)):
        return
    if not str(source).strip():
        raise MMTransferError("The path is empty", f'{option} ""', "give the path of the data")
    reason = wellformed.fault(str(source))
    if reason is not None:
        where = f"{option} {wellformed.escaped(str(source))}"
        raise MMTransferError(f"The path {reason}: no record of a run can name it", where, "rename it")
    refuse_absent(source, option, labelled)


def _builtin(source: str, asked: Request, option: str, split: str) -> Table:
    answer = asked.answer
    tables = builtin.load_builtin(source.removeprefix(builtin.PREFIX), asked.kind.name, answer.name)
    if split not in tables:
        raise MMTransferError(
            f"{source} has no {split} part, only {' and '.join(tables)}",
            option,
            f"leave {option} out: it is cut from the training data",
        )
    table = tables[split]
    if table.answer is None or table.answer.name == answer.name:
        return table
    answers, bad = answer.read_answers(table.answers or (), asked.columns.separator)
    if bad:
        raise MMTransferError(
            f"{len(bad)} of {len(table)} labels of {source} cannot be used: {bad[min(bad)]}",
            option,
            "leave --target out, or give data of your own",
        )
    return table.answered(answer.name, answers)


def _drafted(source: Any, asked: Request, option: str, split: str, reading: Reading | None) -> Draft:
    """The rows of a source as they stand, none of them looked at."""
    if isinstance(source, str) and source.startswith(arrow.PREFIX):
        return from_records(arrow.from_hub(source, split, not asked.labelled, asked.where), asked)
    if isinstance(source, str | Path):
        refuse_missing(source, option, asked.labelled)
        return _from_path(Path(os.path.abspath(source)), asked, split, reading)
    if _is_dataset(source):
        part = arrow.part(source, split, not asked.labelled, asked.where)
        return from_records(arrow.from_dataset(part, asked.where), asked)
    if not isinstance(source, list | tuple):
        rows = frames.rows_of(source, asked.where)
        if isinstance(rows, Records):
            return from_records(rows, asked)
        if rows is None:
            raise MMTransferError(
                f"Data cannot be a {type(source).__name__}",
                option,
                "give a path, hub:NAME, builtin:NAME, a frame, a dict of columns, a Dataset, or a list of rows",
            )
        # of a Dataset with labels, where only inputs are asked for
        source = (
            rows if asked.labelled else [row[0] if isinstance(row, tuple) and len(row) == 2 else row for row in rows]
        )
    return from_list(source, asked)


def _is_dataset(source: Any) -> bool:
    """Whether it is one of `datasets`: then that library, which takes a second to import, is here already."""
    library = sys.modules.get("datasets")
    return library is not None and isinstance(source, library.Dataset | library.DatasetDict)


def _from_path(path: Path, asked: Request, split: str, reading: Reading | None) -> Draft:
    kind, where = asked.kind, asked.where
    if path.is_dir():
        if arrow.is_saved(path):
            return from_records(arrow.saved(path, split, not asked.labelled, where), asked, path)
        metadata = folders.find_metadata(path)
        if metadata is None:
            return folders.read_folder(path, kind, asked.answer, asked.labelled, where)
        path, where = metadata, f"{where}/{metadata.name}"
        asked = dataclasses.replace(asked, where=where)
    reader = READERS.get(path.suffix.lower())
    if reader is not None:
        return from_records(reader(path, where, asked.columns, reading), asked, path.parent)
    if asked.labelled:
        readable = "a folder or a table" if kind.in_files else "a table"
        raise MMTransferError(
            f"{kind.name} data with answers is {readable}, not a {path.suffix or 'plain'} file",
            where,
            f"give {readable} ({' '.join(sorted(READERS))})",
        )
    if kind.in_files:
        return folders.files([path.name], path.parent)
    if asked.columns.paired:
        raise MMTransferError("A file of lines has no second texts", where, "give a table with both columns")
    return from_lines(path, asked)
