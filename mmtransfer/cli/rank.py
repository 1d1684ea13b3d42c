"""`mmtransfer rank TASK --backbones A B ...`: which backbone suits the data, before anything is trained."""

from __future__ import annotations

import logging

from mmtransfer.cli import help, records, tables
from mmtransfer.cli.flags import parse
from mmtransfer.cli.installation import check_trio
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.words import plain, taken
from mmtransfer.defaults import DEFAULTS
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")
UNREAD = ("--backbone", "--strategy", "--out", "--repeats", "--versus-scratch", "--resume", "--overwrite")
"""Flags of `fit` that mean nothing where no run is made."""
USAGE = f"""usage: mmtransfer rank TASK --train DATA --backbones A B ... [--folds 5] [flags of fit]

Cross-validates an exact linear probe on each backbone's features, and tells their speed and size; *
marks backbones that no other beats in all three. The features are cached, and found by `fit`. For
images and texts: speech has no exact probe. A backbone may come with weights: NAME=weights.safetensors.
One that cannot be had is left out, and told. The flags are those of `mmtransfer fit TASK --help`,
without {", ".join(UNREAD)}."""


def run(words: list[str]) -> None:
    """Prints the backbones, best first."""
    if len(words) < 2 or help.asked(words):
        print(USAGE)
        return
    task, words = words[0], words[1:]
    if task not in DEFAULTS:
        raise unknown("task", task, DEFAULTS, "mmtransfer rank TASK")
    folds, words = taken(words, "--folds")
    backbones, words = taken(words, "--backbones")
    for word in words:
        if plain(word) in UNREAD or word.startswith("--strategy."):
            raise MMTransferError(f"rank does not read {plain(word)}", "the command line", "leave it out")
    settings = parse(task, [*words, "--strategy", "linear-probe"], {}, f"mmtransfer rank {task}")
    as_json = settings.pop("json", False)
    fields = {name: value for name, value in settings.items() if name not in ("task", "train", "strategy", "backbone")}
    if not all(word.isascii() and word.isdecimal() and int(word[:9]) > 1 for word in folds):
        raise MMTransferError(f"--folds must be 2 or more, not {folds[0]}", "--folds", "change the value")
    check_trio()
    from mmtransfer.rank import FOLDS, rank

    ranking = rank(task, settings.get("train"), backbones, folds=int(folds[0]) if folds else FOLDS, **fields)
    if as_json:
        show_json(records.of_ranking(task, ranking))
    else:
        tables.show_ranking(task, ranking)
    for backbone, error in ranking.missing.items():
        logger.warning("%s is not ranked: %s (%s); %s", backbone, error.what, error.where, error.do)
