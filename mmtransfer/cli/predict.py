"""`mmtransfer predict RUN INPUT`: predictions of a finished run, on the terminal or in a file."""

from __future__ import annotations

import dataclasses
import logging
from typing import Literal

import tyro

from mmtransfer.cli import outputs
from mmtransfer.cli.starting import quickly
from mmtransfer.cli.words import Columns, parse
from mmtransfer.terminal import visible

logger = logging.getLogger("mmtransfer")


@dataclasses.dataclass(frozen=True)
class Words(Columns):
    """What can be said after the verb."""

    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    input: tyro.conf.Positional[str]
    """A file, a folder, a CSV or a text file with a sentence a line."""
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
    with quickly():
        from mmtransfer.api import load

        run = load(said.run, **said.settings())
        run.model  # noqa: B018  (read here, with what it imports)
    if said.out is not None:
        outputs.check_times(said.out, run.model.task.target.timed)
    predictions = run.predict(said.input)
    if said.out is None:
        for prediction in predictions:
            score = [] if prediction.score is None else [f"{prediction.score:.4f}"]
            print(visible(prediction.id), visible(prediction.label), *score, sep="\t")
        return
    outputs.write(predictions, said.out)
    logger.info("%d predictions in %s", len(predictions), said.out)
