"""`mmtransfer evaluate RUN --test DATA`: scores of a finished run, or of a backbone with the head that it carries."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tyro

from mmtransfer.cli import tables
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.words import Columns, parse


@dataclasses.dataclass(frozen=True)
class Words(Columns):
    """What can be said after the verb."""

    run: tyro.conf.Positional[str]
    """Folder of a finished run; or a backbone whose checkpoint carries a head: a torchvision network, a folder or hub
    name of transformers."""
    test: str
    """Labelled data."""
    weights: str | None = None
    """Of a torchvision network: name of its published weights, or a .pth/.safetensors file."""
    label_column: str | None = None
    """Column with the label."""
    transcript_column: str | None = None
    """Column with the transcript."""
    tags_column: str | None = None
    """Column with the tags, a list, one a word."""
    decode: Literal["greedy", "beam"] | None = None
    """Of speech: how frames become text; the run's way if None."""
    skip_bad: bool = False
    """Leave out examples that cannot be read or whose label the model does not know, and warn; without it they are an
    error."""
    json: bool = False
    """Print JSON instead of a table: by name each score's value, interval and number of examples."""


def run(words: list[str]) -> None:
    """Prints all scores of the data."""
    about = "Scores a finished run, or a backbone with the head that its checkpoint carries."
    said = parse(Words, words, "evaluate", about)
    from mmtransfer.scoring import evaluate

    scores = evaluate(said.run, said.test, said.weights, skip_bad=said.skip_bad, **said.settings())
    if said.json:
        show_json({"test": scores})
    else:
        tables.show_scores("test", scores)
