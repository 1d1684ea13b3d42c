"""`mmtransfer compare RUN RUN ...`: finished runs side by side."""

from __future__ import annotations

import dataclasses

import tyro

from mmtransfer.cli import tables
from mmtransfer.cli.words import parse


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of finished runs of one task on one test set; any other folder stands for the runs under it. Runs that
    differ in their seed alone are put together."""
    all_pairs: bool = False
    """Test every pair, and not only the best with each of the others."""


def run(words: list[str]) -> None:
    """Prints scores, costs and verdicts."""
    said = parse(Words, words, "compare", "Scores, costs and paired tests of finished runs.")
    from mmtransfer.comparison import compare

    tables.show_comparison(compare(said.runs, said.all_pairs))
