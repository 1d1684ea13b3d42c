"""`mmtransfer fit TASK`: trains a model; several with --repeats, its control with --versus-scratch."""

from __future__ import annotations

import logging
import types
from collections.abc import Mapping
from typing import Any

from mmtransfer import launcher
from mmtransfer.cli import ending, help, records, tables
from mmtransfer.cli.flags import parse
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.pages import show_page
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import refuse_absent_data, refuse_beside, task_of
from mmtransfer.config import TEXT
from mmtransfer.config.tasks import SEES
from mmtransfer.defaults import BUILTIN, CASE, DEFAULTS, OWN_DATA, without_data
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")


def run(words: list[str], choices: Mapping[str, Any] = types.MappingProxyType({}), program: str = "") -> None:
    """`choices`: a recipe's settings, where the words say nothing; `program`: the recipe's own name."""
    if not words or words[0] in help.HELP:
        print(_usage())
        return
    task, words = task_of(words, "fit")
    settings = parse(task, words, choices, program or f"mmtransfer fit {task}")
    repeats, versus = settings.pop("repeats", 1), settings.pop("versus_scratch", None)
    if repeats < 1:
        raise MMTransferError(f"--repeats must be 1 or more, not {repeats}", "--repeats", "change the value")
    rehearsed, as_json, paged = (settings.pop(name, False) for name in ("dry_run", "json", "report"))
    if rehearsed:
        refuse_beside(
            "--dry-run", "a dry run tells of one run", {"--repeats": repeats > 1, "--versus-scratch": bool(versus)}
        )
        refuse_beside("--dry-run", "a dry run leaves no run to report on", {"--report": paged})
    if settings.get("train") is None and not settings.get("resume"):
        if not program:
            raise without_data(task)
        settings["train"] = CASE
    builtin = settings.get("train") == CASE and not settings.get("resume")
    if builtin and not rehearsed:
        _announce(task, settings, repeats, versus)
    refuse_absent_data(settings)
    libraries()
    if rehearsed:
        from mmtransfer.rehearsal import dry_run

        plan = dry_run(**settings)
        show_json(plan) if as_json else tables.show_rehearsal(plan)
        return
    if repeats > 1:
        _repeat(settings, repeats, versus, as_json, paged)
        return
    _fit(settings, versus, builtin, as_json, paged)
    if builtin and launcher.is_main() and not as_json:
        command = f"accelerate launch {program}" if program else f"mmtransfer fit {task}"
        print(f"next, with your own data: {command} {OWN_DATA[task]} --backbone builtin")


def _usage() -> str:
    """What is said of `fit` before a task is named."""
    tasks = "\n".join(f"  {task:<24}{SEES[task]}" for task in DEFAULTS)
    return (
        f"usage: mmtransfer fit TASK --train DATA [flags]\n\nTrains a model. TASK is one of\n\n{tasks}\n\n"
        "`mmtransfer fit TASK --help` shows the flags that people set first, --help-all\nall of them. "
        f"To try it: mmtransfer fit {TEXT} --train builtin"
    )


def _fit(settings: Mapping[str, Any], versus: bool | None, builtin: bool, as_json: bool, paged: bool) -> None:
    """One run, and its control where that is asked for, or on built-in data not refused; `paged`: with a page."""
    from mmtransfer.api import fit
    from mmtransfer.control import check_versus, comparable, from_scratch, versus_scratch

    if versus is None:
        versus = builtin and settings.get("shots") != 0 and not from_scratch(settings)
    if versus:
        check_versus(settings)
        settings = comparable(settings)
    done = fit(**settings)
    if not as_json:
        ending.show(done)
    comparison = versus_scratch(settings, done) if versus else None
    if as_json:
        versed = {} if comparison is None else {"versus_scratch": records.of_comparison(comparison)}
        show_json({**records.of_run(done), **versed})
    elif comparison is not None and launcher.is_main():
        tables.show_comparison(comparison)
    if paged:
        folders = [] if comparison is None else [path for entry in comparison.entries for path in entry.folders]
        show_page(done.folder.path, *(path for path in folders if path != done.folder.path), quiet=as_json)


def _repeat(settings: Mapping[str, Any], repeats: int, versus: bool | None, as_json: bool, paged: bool) -> None:
    if paged:
        raise MMTransferError(
            "--repeats and --report exclude each other",
            "the command line",
            "leave out --report; then mmtransfer report OUT/seed-0",
        )
    if versus:
        raise MMTransferError(
            "--repeats and --versus-scratch exclude each other",
            "the command line",
            "repeat both, in folders of their own, and compare them: mmtransfer compare OUT OTHER",
        )
    from mmtransfer.repeats import repeat

    made = repeat(n=repeats, **settings)
    show_json({"folder": made.folder, **made.as_dict()}) if as_json else tables.show_spread(made)


def _announce(task: str, settings: Mapping[str, Any], repeats: int, versus: bool | None) -> None:
    """Says what is about to be done on built-in data; and for how long, where the settings are the usual ones."""
    scratch = settings.get("strategy") == "scratch" or settings.get("weights") == "none"
    start = "random weights" if scratch else settings.get("backbone") or "the built-in backbone"
    control = versus or (versus is None and repeats == 1 and not scratch and settings.get("shots") != 0)
    parts = [f"{task} on {BUILTIN[task].data['train']} from {start}"]
    if repeats > 1:
        parts.append(f"with {repeats} seeds")
    if control:
        parts.append("and the same from random weights beside it")
    if settings.keys() <= {"task", "train", "out", "overwrite", "seed"}:
        minutes = max(1, round(BUILTIN[task].minutes * repeats * (2 if control else 1)))
        parts.append(f"in about {minutes} minute{'s' if minutes > 1 else ''} on 2 cores")
    logger.info(", ".join(parts))
