"""`mmtransfer rank TASK --backbones A B ...`: which backbone suits the data, before anything is trained."""

from __future__ import annotations

import logging

from mmtransfer.cli import help, records, tables
from mmtransfer.cli.flags import parse
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import plain, refuse, taken, task_of
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
UNREAD = (
    *("--backbone", "--strategy", "--out", "--resume", "--overwrite"),
    *("--repeats", "--versus-scratch", "--dry-run", "--report"),
)
"""Flags of `fit` that mean nothing where no run is made."""
ABOUT = """Cross-validates an exact linear probe on the features of each backbone, and tells its speed and size: * \
marks those that no other beats in all three. For pictures, texts and labels of recordings; transcripts have no exact \
probe.
The features are stored, and found again by `fit`. A backbone that cannot be had is told and left out."""
FLAGS = (
    help.Entry("--backbones", "NAME ...", "Each as --backbone of fit takes it, or NAME=WEIGHTS with its --weights."),
    help.Entry("--folds", "NUMBER", "Parts that the data are cut into; each is held out once.", "5"),
    help.Entry("--json", "", "Print JSON instead of a table."),
)


def _help() -> str:
    note = f"The other flags are those of `mmtransfer fit TASK --help-all`, without {', '.join(UNREAD)}."
    return help.page("mmtransfer rank TASK --train DATA --backbones NAME ... [flags]", ABOUT, FLAGS, note=note)


def run(words: list[str]) -> None:
    """Prints the backbones, best first."""
    if len(words) < 2 or help.asked(words):
        print(_help())
        return
    task, words = task_of(words, "rank")
    folds, words = taken(words, "--folds")
    backbones, words = taken(words, "--backbones")
    options = [plain(word) for word in words if word.startswith("--strategy.")]
    refuse(words, (*UNREAD, *options), "rank")
    settings = parse(task, [*words, "--strategy", "linear-probe"], {}, f"mmtransfer rank {task}")
    as_json = settings.pop("json", False)
    fields = {name: value for name, value in settings.items() if name not in ("task", "train", "strategy", "backbone")}
    if not all(word.isascii() and word.isdecimal() and int(word[:9]) > 1 for word in folds):
        raise MMTransferError(f"--folds must be 2 or more, not {folds[0]}", "--folds", "change the value")
    libraries()
    from mmtransfer.rank import FOLDS, rank

    ranking = rank(task, settings.get("train"), backbones, folds=int(folds[0]) if folds else FOLDS, **fields)
    if as_json:
        show_json(records.of_ranking(task, ranking))
    else:
        tables.show_ranking(task, ranking)
    for backbone, error in ranking.missing.items():
        logger.warning("%s is not ranked: %s (%s); %s", backbone, error.what, error.where, error.do)
