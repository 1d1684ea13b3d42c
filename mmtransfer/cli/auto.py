"""`mmtransfer auto TASK --train DATA`: the best model for a budget of minutes, in one command."""

from __future__ import annotations

from typing import Any

from mmtransfer.cli import ending, help, records, tables
from mmtransfer.cli.flags import parse
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.pages import show_page
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import refuse, refuse_absent_data, refuse_beside, taken, task_of
from mmtransfer.defaults import without_data
from mmtransfer.errors import MMTransferError

UNREAD = ("--backbone", "--repeats", "--versus-scratch", "--stop-after", "--join-validation", "--track", "--config")
"""Flags of `fit` that a search does not read."""
MINUTES = 10.0
ABOUT = """Finds the best model for the data within a budget, everything included: exact probes on stored features \
choose the backbones, then strategies, rates and regularisation are tried by successive halving, by validation \
scores. The test data are looked at once, at the end.
OUT is an ordinary run; OUT/auto.json tells every trial. Ctrl-C ends with the best so far, and --resume --out OUT \
goes on."""
FLAGS = (
    help.Entry("--max-minutes", "NUMBER", "The budget, from the start of the process.", f"{MINUTES:g}"),
    help.Entry(
        "--backbones",
        "NAME ...",
        "What to choose from, NAME or NAME=WEIGHTS. If not given: the built-in backbone, what is in the caches of "
        "torch and of the hub, and a short list where the network answers.",
    ),
    help.Entry("--prefer", "accuracy|speed|size", "What decides among backbones that are not told apart.", "accuracy"),
    help.Entry("--max-parameters", "NUMBER", "Of a backbone, at most, such as 30M."),
    help.Entry("--dry-run", "", "Tell what would be tried, and how fast it is here; nothing is written."),
    help.Entry("--json", "", "Print JSON instead of tables."),
)


def _help() -> str:
    note = (
        f"The other flags are those of `mmtransfer fit TASK --help-all`, without {', '.join(UNREAD)}. "
        "What they say is not searched over: with --strategy full only its rates and regularisation are."
    )
    return help.page("mmtransfer auto TASK --train DATA [--test DATA] [flags]", ABOUT, FLAGS, note=note)


def run(words: list[str]) -> None:
    """Searches, and tells the scores of what was found."""
    if not words or help.asked(words):
        print(_help())
        return
    task, words = task_of(words, "auto")
    backbones, words = taken(words, "--backbones")
    prefer, words = taken(words, "--prefer")
    parameters, words = taken(words, "--max-parameters")
    refuse(words, UNREAD, "auto")
    settings = parse(task, words, {}, f"mmtransfer auto {task}")
    if settings.get("train") is None and not settings.get("resume"):
        raise without_data(task)
    own: dict[str, Any] = {"backbones": [name for word in backbones for name in word.split(",") if name] or None}
    own["prefer"] = prefer[0] if prefer else None
    own["max_parameters"] = _whole(parameters[0]) if parameters else None
    rehearsed, as_json, paged = (settings.pop(name, False) for name in ("dry_run", "json", "report"))
    if rehearsed:
        refuse_beside("--dry-run", "a dry run leaves no run to report on", {"--report": paged})
    given = {name: value for name, value in settings.items() if name != "task"} | own
    refuse_absent_data(settings)
    libraries()
    from mmtransfer.auto import auto, outlook
    from mmtransfer.engine.clock import process_started

    if rehearsed:
        search = outlook(task, **given, started=process_started())
        show_json(records.of_outlook(search)) if as_json else tables.show_outlook(search)
        return
    found = auto(task, **given, started=process_started())
    if as_json:
        show_json({**records.of_run(found), "auto": found.result["auto"]})
    else:
        ending.show(found)
        tables.show_choice(found)
    if paged:
        show_page(found.folder.path, quiet=as_json)


def _whole(word: str) -> int:
    """A number of parameters, such as 30000000, 30e6 or 30M."""
    units = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}
    number, unit = (word[:-1], units[word[-1].lower()]) if word[-1:].lower() in units else (word, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not value >= 1:
        raise MMTransferError(f"--max-parameters must be a number, not {word}", "--max-parameters", "such as 30M")
    return int(value)
