"""`mmtransfer soup RUN RUN ... --out RUN`: the mean of the weights of several runs, as a run."""

from __future__ import annotations

import dataclasses

import tyro

from mmtransfer.cli import ending, records
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import parse


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of finished runs of one backbone on the same data with the same seed, which differ in rates, epochs or
    regularisation."""
    out: str
    """The new run folder."""
    overwrite: bool = False
    """Replace the run in `out`."""
    json: bool = False
    """Print JSON instead of tables: the run's folder, scores and seconds."""


def run(words: list[str]) -> None:
    """Makes the soup and prints its scores."""
    about = "From the best run down, weights join the mean where the validation score does not fall."
    said = parse(Words, words, "soup", about)
    libraries()
    from mmtransfer.soup import soup

    made = soup(said.runs, said.out, said.overwrite)
    if said.json:
        show_json(records.of_run(made))
    else:
        ending.show(made)
