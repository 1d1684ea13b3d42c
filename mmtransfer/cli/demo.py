"""`mmtransfer demo`: transfer beside scratch on the built-in data of three tasks."""

from __future__ import annotations

import dataclasses

from mmtransfer.cli import records
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.starting import libraries
from mmtransfer.cli.words import parse


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    out: str | None = None
    """Folder of the run folders; runs/demo-DATE-TIME if not given."""
    json: bool = False
    """Print JSON instead of a table: by task scores, costs and the tested difference."""


def run(words: list[str]) -> None:
    """Trains all of it and prints one table."""
    said = parse(Words, words, "demo", "Transfer beside scratch on the built-in data of three tasks.")
    libraries()
    from mmtransfer.demo import demo

    comparisons = demo(said.out, silent=said.json)
    if said.json:
        show_json([records.of_comparison(comparison) for comparison in comparisons])
