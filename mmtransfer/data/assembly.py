"""From what a run is given to its tables: train, validation and, where there is one, test."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mmtransfer.config import RunConfig, flag
from mmtransfer.data import builtin, groups, overlap, sources, splits, subsets
from mmtransfer.data.columns import Columns
from mmtransfer.data.reading import Reading
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")


def classes(table: Table) -> list[str] | None:
    """The class of each example, of which a split or subset gets its share; None where examples have no single one."""
    return table.column("label") if "label" in table.rows.column_names else None


def assemble(
    config: RunConfig,
    input: str,
    columns: Columns,
    strata: Callable[[Table], Sequence[str | None] | None] = classes,
    validate: Callable[[int], bool] = lambda n: True,
    look: Callable[[dict[str, Table]], dict[str, Table]] = lambda tables: tables,
    reading: Reading | None = None,
) -> dict[str, Table]:
    """Reads the sources, then, in this order: the test group leaves the training data; the validation data is cut from
    it, where none is given, with whole groups if their column is named; what is left is made smaller (`--shots`,
    `--fraction`, `--shots-minutes`). A validation split that was cut here is not left larger than the training data.
    With `--shots 0` the training data is left whole: its labels name the classes, and where no validation data is given
    all of it is scored. `--duplicates drop` takes what other splits hold from the training data before validation is
    cut, so that validation keeps its share, and what the cut has parted after it.

    `strata`: what validation is stratified by, as `splits.holdout` takes it, and so are smaller parts; `validate`:
    whether validation data is cut where none is given, by about how many examples there are to train on; `look`: gets
    the sources as they were read, and gives them back with what it has found out about them; `reading`: as in
    `sources.load`.
    """
    tables = look(_read(config, input, columns, reading))
    if config.test_group is not None:
        tables["train"], tables["test"] = groups.leave_out(tables["train"], config.test_group)
    if config.group_column is not None:
        for split in tables.keys() - {"train"}:
            groups.warn_shared(tables["train"], tables[split], flag(split))
    if config.shots == 0 and "validation" not in tables:
        logger.info("validation: all training examples, of which none is trained on")
        tables["validation"] = tables["train"]
    if config.group_column is not None and "validation" not in tables:
        _refuse_no_groups(tables["train"], config.group_column)
    _drop(tables, config)
    cut = "validation" not in tables and config.validation_fraction > 0
    cut = cut and validate(_left(tables["train"], strata, config))
    if cut:
        labels = strata(tables["train"])
        tables["train"], tables["validation"] = _cut(tables["train"], labels, config)
        _drop(tables, config)
    if config.duplicates == "error" and config.shots != 0:
        overlap.refuse(tables)
    _make_smaller(tables, strata, cut, config)
    return tables


def _read(config: RunConfig, input: str, columns: Columns, reading: Reading | None) -> dict[str, Table]:
    """The sources of a run, by split."""
    given: dict[str, Any] = {"train": config.train, "validation": config.validation, "test": config.test}
    if isinstance(config.train, str) and config.train.startswith(builtin.PREFIX) and config.test is None:
        given["test"] = config.train
    return {
        split: sources.load(
            source,
            input,
            columns,
            config.skip_bad,
            flag(split),
            split=split,
            max_seconds=config.max_seconds,
            reading=reading and replace(reading, split=split),
        )
        for split, source in given.items()
        if source is not None
    }


def _drop(tables: dict[str, Table], config: RunConfig) -> None:
    """With `--duplicates drop`, takes from the training data, if it is trained on, what other splits hold."""
    others = {split: table for split, table in tables.items() if split != "train"}
    if config.duplicates == "drop" and config.shots != 0 and others:
        left = overlap.dropped(tables["train"], others)
        if len(left) < len(tables["train"]):
            number, names = len(tables["train"]) - len(left), " or ".join(others)
            logger.warning("%d training examples are left out: the %s data hold them as well", number, names)
        tables["train"] = left


def _refuse_no_groups(table: Table, column: str) -> None:
    if groups.of(table) is None:
        raise MMTransferError(
            "The training data has no groups", f"--group-column {column} of {table.source}", "leave it out"
        )


def _left(train: Table, strata: Callable[[Table], Sequence[str | None] | None], config: RunConfig) -> int:
    """About how many examples `_smaller` leaves."""
    n = len(train)
    if config.shots:
        counts = Counter(label for label in strata(train) or () if label is not None)
        return sum(min(count, config.shots) for count in counts.values()) if counts else min(n, config.shots)
    if config.fraction is not None:
        return max(1, round(n * config.fraction))
    return n


def _cut(whole: Table, labels: Sequence[str | None] | None, config: RunConfig) -> tuple[Table, Table]:
    """(what is left to train on, validation)."""
    known = groups.of(whole) if config.group_column is not None else None
    share = config.validation_fraction
    if known is None:
        rest, held = splits.holdout(labels, len(whole), share, config.seed)
        logger.info("%d of %d training examples held out for validation", len(held), len(whole))
    else:
        several = whole.column("labels") if "labels" in whole.rows.column_names else None
        rest, held = groups.holdout(several or classes(whole), known, share, config.seed)
        logger.info(
            "%d of %d training examples held out for validation: %d of %d groups",
            len(held),
            len(whole),
            len({known[number] for number in held}),
            len(set(known)),
        )
    return whole.select(rest), whole.select(held)


def _make_smaller(
    tables: dict[str, Table], strata: Callable[[Table], Sequence[str | None] | None], cut: bool, config: RunConfig
) -> None:
    """Takes the part of the training data that was asked for, and of a validation split that was cut no more."""
    smaller = _smaller(tables["train"], strata, config)
    if smaller is None:
        return
    logger.info("training on %d of the %d training examples", len(smaller), len(tables["train"]))
    tables["train"] = smaller
    if cut and len(validation := tables["validation"]) > len(smaller):
        kept = subsets.at_most(classes(validation), len(validation), len(smaller), config.seed)
        logger.info("validation: %d of %d examples, no more than there are to train on", len(kept), len(validation))
        tables["validation"] = validation.select(kept)


def _smaller(
    train: Table,
    strata: Callable[[Table], Sequence[str | None] | None],
    config: RunConfig,
) -> Table | None:
    """The part of the training data that was asked for; None: all of it."""
    n = len(train)
    labels = strata(train) if config.shots or config.fraction is not None else None
    if config.shots:
        if classes(train) is None:
            logger.info("there are no classes: --shots %d takes so many examples in all", config.shots)
        return train.select(subsets.shots(labels, n, config.shots, config.seed))
    if config.fraction is not None:
        return train.select(subsets.fraction(labels, n, config.fraction, config.seed))
    if config.shots_minutes is not None:
        samples, rates = train.measured().T
        lengths = (samples / rates).tolist()
        return train.select(subsets.minutes(lengths, groups.of(train), config.shots_minutes, config.seed))
    return None
