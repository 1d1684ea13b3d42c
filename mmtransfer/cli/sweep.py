"""`mmtransfer sweep TASK --train DATA`: every strategy on every backbone with several seeds, ending in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmtransfer.cli import help
from mmtransfer.cli.flags import parse
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import refuse, refuse_absent_data, taken, task_of
from mmtransfer.defaults import without_data
from mmtransfer.errors import MMTransferError
from mmtransfer.terminal import visible

if TYPE_CHECKING:  # loads torch
    from mmtransfer.sweep import Sweep

UNREAD = ("--strategy", "--backbone", "--seed", "--repeats", "--versus-scratch", "--resume", "--overwrite", "--dry-run")
"""Flags of `fit` that a sweep does not read."""
ABOUT = """Trains every strategy on every backbone with every seed, and compares them: a line a configuration, the \
best first. All configurations have one seed before any has two.
The same command with the same --out goes on where it was stopped."""
FLAGS = (
    help.Entry("--strategies", "NAME ...", "Such as linear-probe full lora; the task's own alone if not given."),
    help.Entry("--backbones", "NAME ...", "NAME or NAME=WEIGHTS; the task's own alone if not given."),
    help.Entry("--seeds", "NUMBER", "How many, from 0 on.", "1"),
    help.Entry("--max-minutes", "NUMBER", "The budget: a run that would take longer than what is left is left out."),
    help.Entry("--out", "FOLDER", "Of all runs; runs/TASK-DATE-TIME if not given."),
    help.Entry("--report", "", "Write the comparison as a page as well, OUT/report.html."),
    help.Entry("--json", "", "Print JSON instead of a table."),
)


def _help() -> str:
    note = f"The other flags are those of `mmtransfer fit TASK --help-all`, without {', '.join(UNREAD)}."
    return help.page("mmtransfer sweep TASK --train DATA [--test DATA] [flags]", ABOUT, FLAGS, note=note)


def run(words: list[str]) -> None:
    """Runs what is asked for, and prints the table."""
    if not words or help.asked(words):
        print(_help())
        return
    task, words = task_of(words, "sweep")
    names, words = taken(words, "--strategies")
    backbones, words = taken(words, "--backbones")
    seeds, words = taken(words, "--seeds")
    refuse(words, UNREAD, "sweep")
    settings = parse(task, words, {}, f"mmtransfer sweep {task}")
    if settings.get("train") is None:
        raise without_data(task)
    paged, as_json = (settings.pop(name, False) for name in ("report", "json"))
    given = {name: value for name, value in settings.items() if name != "task"}
    own: dict[str, Any] = {"strategies": _listed(names), "backbones": _listed(backbones), "seeds": _whole(seeds)}
    refuse_absent_data(settings)
    libraries()
    from mmtransfer.sweep import sweep

    made = sweep(task, **own, **given)
    _show_json(made) if as_json else _show(made)
    if paged and made.comparison is not None:
        from mmtransfer.report.making import side_by_side

        page = side_by_side(made.comparison, made.folder / "report.html")
        if not as_json:
            print(visible(f"the page is {page}"))


def _show(made: Sweep) -> None:
    from mmtransfer.cli import configurations

    if made.comparison is None:
        print(visible(f"{len(made.done)} run(s) in {made.folder}: too few configurations have finished to be compared"))
    else:
        configurations.show(made.comparison)
        print(visible(f"the runs are in {made.folder}"))
    for folder, why in made.left_out.items():
        print(visible(f"left out: {folder}: {why}"))


def _show_json(made: Sweep) -> None:
    from mmtransfer.report.exports import rows_of

    rows = [] if made.comparison is None else rows_of(made.comparison)
    show_json({"folder": made.folder, "runs": made.done, "left_out": made.left_out, "configurations": rows})


def _listed(words: Sequence[str]) -> list[str]:
    """Names that are parted by spaces or commas."""
    return [name for word in words for name in word.split(",") if name]


def _whole(words: Sequence[str]) -> int:
    """How many seeds."""
    if not words:
        return 1
    try:
        return int(words[0])
    except ValueError:
        raise MMTransferError(
            f"--seeds must be a whole number, not {words[0]}", "--seeds", "change the value"
        ) from None
