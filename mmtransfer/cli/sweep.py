"""`mmtransfer sweep TASK --train DATA`: every strategy on every backbone with several seeds, ending in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmtransfer.cli.flags import parse
from mmtransfer.cli.installation import check_trio
from mmtransfer.cli.words import plain, taken
from mmtransfer.config import TASKS
from mmtransfer.defaults import without_data
from mmtransfer.errors import MMTransferError, unknown
from mmtransfer.terminal import visible

UNREAD = ("--strategy", "--backbone", "--seed", "--repeats", "--versus-scratch", "--resume", "--overwrite", "--dry-run")
"""Flags of `fit` that a sweep does not read."""
USAGE = f"""usage: mmtransfer sweep TASK --train DATA --test DATA [--strategies A B] [--backbones C D] [--seeds 3]
                       [--max-minutes 30] [--out FOLDER] [flags of fit]

Trains every strategy on every backbone with every seed, and compares them: a line a configuration, the best first.
The same command with the same --out goes on where it was stopped.

  --strategies A B ...    such as linear-probe full lora; the task's own alone if not given
  --backbones C D ...     NAME or NAME=WEIGHTS; the task's own alone if not given
  --seeds 1               how many, from 0 on; all configurations have one before any has two
  --max-minutes 30        the budget: a run that would take longer than what is left is left out
  --out FOLDER            of all runs; runs/TASK-DATE-TIME if not given
  --report                write the comparison as a page as well, OUT/report.html

The other flags are those of `mmtransfer fit TASK --help`, without {", ".join(UNREAD)}."""


def run(words: list[str]) -> None:
    """Runs what is asked for, and prints the table."""
    if not words or {"-h", "--help"} & set(words):
        print(USAGE)
        return
    task, words = words[0], words[1:]
    if task not in TASKS:
        raise unknown("task", task, TASKS, "mmtransfer sweep TASK")
    names, words = taken(words, "--strategies")
    backbones, words = taken(words, "--backbones")
    seeds, words = taken(words, "--seeds")
    for word in words:
        if plain(word) in UNREAD:
            raise MMTransferError(f"sweep does not read {plain(word)}", "the command line", "leave it out")
    settings = parse(task, words, {}, f"mmtransfer sweep {task}")
    if settings.get("train") is None:
        raise without_data(task)
    paged = settings.pop("report", False)
    given = {name: value for name, value in settings.items() if name != "task"}
    check_trio()
    from mmtransfer.report.making import side_by_side
    from mmtransfer.sweep import sweep

    made = sweep(
        task,
        strategies=_listed(names),
        backbones=_listed(backbones),
        seeds=_number(seeds, "--seeds", int, 1),
        **given,
    )
    _show(made)
    if paged and made.comparison is not None:
        print(f"the page is {side_by_side(made.comparison, made.folder / 'report.html')}")


def _show(made: Any) -> None:
    from mmtransfer.cli import configurations

    if made.comparison is None:
        print(
            visible(
                f"{len(made.done)} run(s) have finished, too few configurations to compare; they are in {made.folder}"
            )
        )
    else:
        configurations.show(made.comparison)
        print(visible(f"the runs are in {made.folder}"))
    for folder, why in made.left_out.items():
        print(visible(f"left out: {folder}: {why}"))


def _listed(words: list[str]) -> list[str]:
    """Names that are parted by spaces or commas."""
    return [name for word in words for name in word.split(",") if name]


def _number(words: list[str], flag: str, kind: Callable[[str], Any], usual: Any) -> Any:
    if not words:
        return usual
    try:
        return kind(words[0])
    except ValueError:
        raise MMTransferError(f"{flag} must be a whole number, not {words[0]}", flag, "change the value") from None
