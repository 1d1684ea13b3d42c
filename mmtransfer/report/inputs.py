"""What predictions are about, found again by the ids of the examples: no file is opened before it is shown."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mmtransfer.config import RunConfig
from mmtransfer.data import builtin, sources
from mmtransfer.data.columns import Columns
from mmtransfer.data.labels import SEPARATOR
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

PYTHON = "python:"
"""How records begin that name data given in Python."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a split, as far as they are still there."""

    kind: str
    """image, audio, text or words."""
    table: Table | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    """By id, the row of the table."""
    why: str = ""
    """What is wrong: why there are none, or why some may be others than those that were scored."""

    def of(self, id: str) -> Mapping[str, Any] | None:
        """The row of an example; None where it is not there."""
        place = self.rows.get(id)
        return None if self.table is None or place is None else self.table.rows[place]

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """By id, the group of each example that has one."""
        known = self.table.groups if self.table is not None else None
        return {} if known is None else {id: known[row] for id, row in self.rows.items() if known[row] is not None}  # type: ignore[misc]

    @cached_property
    def column(self) -> Mapping[str, Any]:
        """By id, what a model sees of each example."""
        if self.table is None:
            return {}
        values = self.table.column(self.kind)
        return {id: values[row] for id, row in self.rows.items()}


def find(
    config: RunConfig, kind: str, input: str, split: str, records: Mapping[str, Sequence[Any]], data: Any = None
) -> Inputs:
    """The inputs of a run's predictions; what keeps them from being found is told, not raised.

    `kind`, `input`: of answers and inputs; `data`: where they lie now, instead of where the run read them.
    """
    if not records:
        return Inputs(input)
    source, part = (data, split) if data is not None else source_of(config, split)
    if isinstance(source, str) and source.startswith(PYTHON):
        return Inputs(
            input, why="The data were given in Python, so they cannot be shown: name a file with --scored-on."
        )
    table, why = read(config, kind, input, source, part)
    if table is None:
        return Inputs(input, why=f"The {split} data cannot be read again: {why}. Name their place with --scored-on.")
    known = {id: row for row, id in enumerate(table.ids)}
    rows = {id: known[id] for id in records["id"] if id in known}
    lost, changed = len(records["id"]) - len(rows), _changed(table, kind, records, rows)
    if lost:
        why = f"{lost:,} of {len(records['id']):,} examples are no longer in the {split} data, {table.source}."
    elif changed:
        why = f"The {split} data have changed since the run: {changed:,} examples have another answer there now."
    return Inputs(input, table, rows, why)


def source_of(config: RunConfig, split: str) -> tuple[Any, str]:
    """What the examples of a split were read from, and which part of it."""
    given = {"train": config.train, "validation": config.validation, "test": config.test}[split]
    if given is not None:
        return given, split
    # what is not given has been cut from the training data, but that built-in data have a test part of their own
    own = split == "test" and str(config.train).startswith(builtin.PREFIX)
    return config.train, "test" if own else "train"


def read(config: RunConfig, kind: str, input: str, source: Any, part: str) -> tuple[Table | None, str]:
    """The table of a source as it stands, or why there is none."""
    columns = Columns(
        text=config.text_column,
        pair=config.pair_column,
        label=config.label_column,
        file=config.file_column,
        transcript=config.transcript_column,
        words=config.words_column,
        tags=config.tags_column,
        group=config.group_column,
        kind=kind,
        separator=config.label_separator or SEPARATOR,
    )
    try:
        with _unheard():
            return sources.glance(source, input, columns, split=part), ""
    except MMTransferError as error:
        return None, error.what
    except (OSError, ValueError, KeyError) as error:
        return None, str(error)


@contextmanager
def _unheard() -> Iterator[None]:
    """What reading says of the data has been said when the run was made."""
    logger = logging.getLogger("mmtransfer")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _changed(table: Table, kind: str, records: Mapping[str, Sequence[Any]], rows: Mapping[str, int]) -> int:
    """How many examples have another answer now; only kinds whose records hold answers as the data do are compared."""
    if kind not in ("label", "labels", "tags") or table.answers is None:
        return 0
    answers, truths = table.answers, dict(zip(records["id"], records["target"], strict=True))
    return sum(list(answers[row]) != list(truths[id]) for id, row in rows.items())


def training_classes(
    config: RunConfig, kind: str, input: str, result: Mapping[str, Any], held: Sequence[str]
) -> Counter[str] | None:
    """How many training examples each class had; None where that cannot be known any more.

    `held`: ids that were cut from the training data for validation.
    """
    if kind not in ("label", "labels"):
        return None
    source, part = source_of(config, "train")
    if source is None or str(source).startswith(PYTHON):
        return None
    table, _ = read(config, kind, input, source, part)
    if table is None or table.answers is None:
        return None
    out = set(held) if config.validation is None else set()
    kept = [answer for id, answer in zip(table.ids, table.answers, strict=True) if id not in out]
    counts = Counter(name for answer in kept for name in ([answer] if kind == "label" else answer))
    n = int((result.get("data") or {}).get("train", {}).get("n") or 0)
    if config.shots and kind == "label":
        counts = Counter({name: min(count, config.shots) for name, count in counts.items()})
        return counts if counts.total() == n else None
    return counts if len(kept) == n else None
