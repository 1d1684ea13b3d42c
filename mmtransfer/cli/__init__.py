"""The command line: `mmtransfer fit TASK` and the other verbs, and the recipes, which are `fit` with their choices.

Nothing here loads torch before the words of the command line are known to be right.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmtransfer import disk, launcher, spelling, terminal
from mmtransfer.cli import auto, cache, compare, demo, embed, evaluate, fit, predict, rank, soup
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")
USAGE = """usage: mmtransfer VERB ...

  fit TASK --train DATA ...         train a model: image-classification, text-classification, audio-classification,
                                    token-classification, speech-recognition
  predict RUN INPUT...              predict files, folders, tables, texts or lines of standard input (-) with a run
  evaluate RUN --test DATA          score a finished run, or a backbone that carries a head, on labelled data
  embed RUN|BACKBONE DATA --out X   pooled features with ids, as X.npy or X.parquet
  compare RUN RUN ...               scores, costs and tested differences of finished runs
  soup RUN RUN ... --out RUN        the mean of the weights of runs that differ in rates or regularisation, as a run
  demo [--out FOLDER]               transfer beside scratch on built-in data, three tasks, a few minutes
  rank TASK --train DATA --backbones A B ...   which backbone suits the data, before anything is trained
  auto TASK --train DATA [--max-minutes 10]    the best model for a budget: backbone, strategy and rate are searched
  cache ls|rm [KEY ...]             stored features of frozen stages: list them, remove them

`mmtransfer VERB --help` says more, `mmtransfer fit TASK --help` lists its flags; `--debug` shows stack traces."""

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
}


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
                action()
            except BrokenPipeError:
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
    """Calls the verb that the first word names."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] not in VERBS:
        raise unknown("verb", words[0], VERBS, "mmtransfer VERB")
    VERBS[words[0]](words[1:])
