"""`mmtransfer predict RUN INPUT...`: predictions of a finished run, on the terminal or in a file."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Literal

import tyro

from mmtransfer.cli import inputs, outputs
from mmtransfer.cli.starting import quickly
from mmtransfer.cli.words import Columns, parse
from mmtransfer.errors import MMTransferError
from mmtransfer.run import RunFolder

logger = logging.getLogger("mmtransfer")


@dataclasses.dataclass(frozen=True)
class Words(Columns):
    """What can be said after the verb."""

    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    input: tyro.conf.Positional[tuple[str, ...]]
    """Files, folders, tables, text files with a sentence a line, - for lines of standard input; for tasks on texts also
    a text in quotes, which is what is no path: it has no separator, and no suffix of a data file."""
    top: int | None = None
    """Also the so many most likely classes of each input, with their scores."""
    json: bool = False
    """Print JSON: a list of objects with id, label, score."""
    decode: Literal["greedy", "beam"] | None = None
    """Of speech: how frames become text; the run's way if None."""
    out: str | None = None
    """File to write (id, label, score, which a number does not have): .csv, .tsv, .jsonl, .json or .parquet, of speech
    in JSON with the times of words; or subtitles of a recording: .srt or .vtt. The terminal if not given."""


def run(words: list[str]) -> None:
    """Writes or prints id, label and score of every input."""
    said = parse(Words, words, "predict", "Predicts with a finished run.")
    if said.out is not None:
        outputs.check(said.out)
        if said.json:
            raise MMTransferError(
                "--json is of the terminal", f"--out {said.out}", "name the file .json, or leave one out"
            )
    if said.top is not None and said.top < 1:
        raise MMTransferError(f"--top must be 1 or more, not {said.top}", "--top", "change the value")
    RunFolder(Path(said.run)).refuse_absent()
    with quickly():
        from mmtransfer.api import load

        run = load(said.run, **said.settings())
        inputs.refuse_missing(run, said.input)
        run.model  # noqa: B018  (read here, with what it imports)
    target = run.model.task.target
    if said.out is not None:
        outputs.check_times(said.out, target.timed)
    if said.top is not None and target.kind not in ("label", "labels"):
        raise MMTransferError(f"{run.config.task} gives no scores of classes", "--top", "leave it out")
    predictions = inputs.predictions(run, said.input)
    if said.out is not None:
        outputs.write(predictions, said.out, said.top or 0)
        logger.info("%d predictions in %s", len(predictions), said.out)
    elif said.json:
        outputs.print_json(predictions, said.top or 0)
    else:
        outputs.print_lines(predictions, said.top or 0)
