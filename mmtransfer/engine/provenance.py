"""What a run knows of its data before the first step, and whether they are the data of an earlier start or run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mmtransfer import documents
from mmtransfer.cache.settings import Cache
from mmtransfer.config import RunConfig, default_of
from mmtransfer.data import overlap
from mmtransfer.data.assembly import assemble
from mmtransfer.data.overlap import Finding
from mmtransfer.data.reading import Advance, Reading
from mmtransfer.data.table import Table
from mmtransfer.engine.progress import bar
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks import Task

logger = logging.getLogger("mmtransfer")
SPLITS = ("train", "validation", "test")
DRAWING: tuple[str, ...] = ("seed", "validation_fraction", "fraction", "shots", "shots_minutes")
DRAWING += ("group_column", "test_group", "skip_bad", "duplicates")
"""Settings that decide which rows of the training data a split gets."""


def kept_reading(cache: Cache, main: bool, split: str = "the data") -> Reading:
    """How data are read whose files' contents the folder of the cache remembers, and keeps unpacked.

    `main`: whether this process speaks; `split`: what is read.
    """

    @contextmanager
    def show(label: str, total: int) -> Iterator[Callable[[int], None]]:
        with bar(label, total, main) as progress:
            yield progress.advance

    return Reading(cache.store.root, lambda: cache.limit - cache.store.bytes(), show, split)


def read_tables(
    config: RunConfig, task: Task, cut: Callable[[int], bool], cache: Cache, main: bool
) -> tuple[dict[str, Table], list[Finding]]:
    """The tables of a run, with their digests, and what there is to say about them.

    `cut`: whether validation is cut from the training data where none is given, by the number of examples to train on;
    `cache`: its folder remembers what files hold, so that those which have not changed are not read again; `main`:
    whether this process speaks; the others find nothing.
    """
    findings: list[Finding] = []
    reading = kept_reading(cache, main)

    def look(tables: dict[str, Table]) -> dict[str, Table]:
        findings.extend(overlap.of_labels(tables))
        return {split: _digested(split, table, reading.show) for split, table in tables.items()}

    tables = assemble(config, task.input.kind, task.columns(), task.target.strata, cut, look, reading)
    if config.shots == 0:  # the training data only name the classes: one row of each is enough
        return tables, [finding for finding in findings if finding.kind == "label-twins"]
    return tables, [*overlap.between(tables), *findings] if main else []


def _digested(split: str, table: Table, show: Callable[[str, int], AbstractContextManager[Advance]]) -> Table:
    """The table with digests: files have theirs from when they were read."""
    if table.digests is not None:
        return table
    with show(f"digests of {split}", len(table)) as advance:
        return table.digested(advance)


def about(tables: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """What result.json says of each split."""
    return {
        split: {
            "source": table.source,
            "n": len(table),
            "fingerprint": table.fingerprint,
            "content": table.content,
            "skipped": list(table.skipped),
        }
        for split, table in tables.items()
    }


def check(recorded: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Raises MMTransferError, naming what has changed, where the data are not those that a checkpoint was made with.

    `recorded`, `now`: `Table.ordered` by split. Checkpoints of version 0.1.0 recorded nothing; that is told.
    """
    if not recorded:
        logger.warning("The checkpoint tells nothing of its data, so it is not known whether they have changed since")
        return
    splits = [split for split in SPLITS if recorded.get(split) != now.get(split)]
    if splits:
        changes = "; ".join(f"{split}: {_change(recorded.get(split), now.get(split))}" for split in splits)
        raise MMTransferError(
            f"The data have changed since the run was started ({changes})",
            f"--resume --out {folder}",
            "put the data back as they were, or start another run with another --out",
        )


def _change(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    """What is different about a split."""
    if before is None or now is None:
        return "it was not there" if before is None else "it is gone"
    if before["n"] != now["n"]:
        return f"{now['n']} examples instead of {before['n']}"
    parts = [name for name in ("ids", "contents", "answers", "groups") if before[name] != now[name]]
    if before["content"] == now["content"] and "groups" not in parts:
        return "the same examples in another order" if "contents" in parts else "the same examples with other ids"
    if not parts:
        return "other contents"
    return "other " + " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def warn_of_change(config: RunConfig, tables: Mapping[str, Table]) -> None:
    """Says which splits hold other examples than those of the run whose settings these are, if it is one.

    A split that other settings draw from the training data is not compared.
    """
    earlier = _earlier(config.based_on)
    if earlier is None:
        return
    settings, data = earlier
    redrawn = any(settings.get(name, default_of(name)) != getattr(config, name) for name in DRAWING)
    for split, table in tables.items():
        then = data.get(split)
        drawn = split == "train" or getattr(config, split) is None
        if not isinstance(then, dict) or (drawn and redrawn):
            continue
        # version 0.1.0 recorded no content
        same = then["content"] == table.content if "content" in then else then.get("fingerprint") == table.fingerprint
        if not same:
            logger.warning(
                "--config %s: the %s data (%s, %d examples) are not those of that run (%s, %s examples)",
                config.based_on,
                split,
                table.source,
                len(table),
                then.get("source"),
                then.get("n"),
            )


def _earlier(path: str | None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Settings and data of the run that a config.json is of; None where it is of none, or of one without a result."""
    if path is None:
        return None
    try:
        files = (Path(path), Path(path).with_name("result.json"))
        settings, result = map(documents.load_json, files)
        return dict(settings), dict(result["data"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
