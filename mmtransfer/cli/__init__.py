"""The command line: `mmtransfer fit TASK` and the other verbs, and the recipes, which are `fit` with their choices.

Nothing here loads torch before the words of the command line are known to be right.
"""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmtransfer import __version__, disk, launcher, spelling, terminal
from mmtransfer.cli import (
    auto,
    cache,
    compare,
    completion,
    demo,
    embed,
    evaluate,
    fit,
    help,
    listing,
    machine,
    predict,
    push,
    rank,
    report,
    soup,
    sweep,
    worst,
)
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
USAGE = """usage: mmtransfer VERB ...

to train:
  fit TASK --train DATA     train a model for a task: image-classification,
                            text-classification, audio-classification,
                            token-classification or speech-recognition
  auto TASK --train DATA    the best model within --max-minutes, 10 as a rule:
                            backbone, strategy and rate are searched
  rank TASK --train DATA --backbones A B ...
                            which backbone suits the data, before any training
  sweep TASK --train DATA --strategies A B --backbones C D
                            every strategy on every backbone, and their table
  demo                      what transfer is worth, on built-in data: three
                            tasks in a few minutes
to use a run:
  predict RUN INPUT...      predict files, folders, tables, texts, or lines of
                            standard input (-)
  evaluate RUN --test DATA  score a run on labelled data, or a backbone that
                            has a head
  report RUN                a page: the verdict, the most wrong examples, what
                            is taken for what, and all else that is known
  worst RUN                 the most wrong answers as text
  push RUN ORG/NAME         model and card on the Hugging Face hub
  embed RUN DATA --out X    features of a run or backbone, as .npy or .parquet
  compare RUN RUN ...       scores, costs and tested differences of runs
  soup RUN RUN ... --out RUN
                            the mean of the weights of similar runs, as a run
to look around:
  list WHAT                 tasks, backbones, strategies, data or runs, with
                            what is on this machine
  machine                   versions, devices and memory, to paste in an issue
  cache ls|rm               stored features: list them, remove them
  completion SHELL          Tab completes verbs and flags: bash, zsh or fish

`mmtransfer VERB --help` says more. `mmtransfer fit TASK --help` shows the flags
that people set first, `--help-all` all. `--json` prints no tables, `--debug`
stack traces. To begin: mmtransfer fit text-classification --train builtin"""

VERBS: Mapping[str, Callable[[list[str]], None]] = {
    "fit": fit.run,
    "predict": predict.run,
    "evaluate": evaluate.run,
    "embed": embed.run,
    "compare": compare.run,
    "demo": demo.run,
    "rank": rank.run,
    "soup": soup.run,
    "auto": auto.run,
    "cache": cache.run,
    "list": listing.run,
    "machine": machine.run,
    "completion": completion.run,
    "report": report.run,
    "worst": worst.run,
    "sweep": sweep.run,
    "push": push.run,
}
MEANT: Mapping[str, str] = {
    "train": "fit",
    "finetune": "fit",
    "fine-tune": "fit",
    "test": "evaluate",
    "eval": "evaluate",
    "score": "evaluate",
    "infer": "predict",
    "classify": "predict",
    "transcribe": "predict",
    "info": "machine",
    "env": "machine",
    "tasks": "list tasks",
    "models": "list backbones",
    "backbones": "list backbones",
    "strategies": "list strategies",
    "data": "list data",
    "runs": "list runs",
}
"""What other tools call a verb."""


def main(argv: Sequence[str] | None = None) -> None:
    """The console script; exits with 0, with 2 for what the user can mend, with 130 or 143 after a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    _guarded(words, lambda: dispatch(words))


def recipe(task: str, **choices: Any) -> None:
    """What a recipe's `__main__` calls: `mmtransfer fit TASK` with the recipe's choices where the user has none."""
    words = sys.argv[1:]
    _guarded(words, lambda: fit.run([task, *words], choices, program=sys.argv[0]))


def _guarded(words: list[str], action: Callable[[], None]) -> None:
    """Runs an action; errors that a user can mend are three lines and status 2, without a stack trace."""
    terminal.tolerate()
    debug = "--debug" in words
    while "--debug" in words:
        words.remove("--debug")
    handler = logging.StreamHandler()
    handler.setFormatter(terminal.Formatter())
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        with spelling.as_flags():
            try:
                launcher.check()
                logger.setLevel(logging.INFO if launcher.is_main() else logging.ERROR)
                try:
                    action()
                finally:
                    sys.stdout.flush()  # what nobody reads is met here, and not when Python ends
            except BrokenPipeError:
                terminal.forget_output()
                sys.exit(0)
            except OSError as error:  # a disk's refusal, wherever it was met
                if debug or not disk.refuses(error):
                    raise
                raise disk.refused(error) from error
    except MMTransferError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        command = getattr(error, "command", None)
        print(terminal.visible(f"stopped; go on with: {command}" if command else "stopped"), file=sys.stderr)
        sys.exit(128 + getattr(error, "signum", 2))


def dispatch(words: list[str]) -> None:
    """Calls the verb that the first word names; `help VERB` is `VERB --help`."""
    if words and words[0] == "help":
        words = [*words[1:2], "--help"]
    if not words or words[0] in help.HELP:
        print(USAGE)
        return
    if words[0] in ("-V", "--version", "version"):
        print(f"mmtransfer {__version__}")
        return
    if words[0] not in VERBS:
        raise _unknown_verb(words[0])
    VERBS[words[0]](words[1:])


def _unknown_verb(word: str) -> MMTransferError:
    """The error for a word that is no verb: it names the verb that is meant, where one can be guessed."""
    close = difflib.get_close_matches(word.lower(), [*VERBS, *MEANT], n=1)
    meant = MEANT.get(close[0], close[0]) if close else ""
    do = f"did you mean {meant}? " if meant else ""
    return MMTransferError(f"Unknown verb {word!r}", "mmtransfer VERB", f"{do}`mmtransfer --help` lists the verbs")
