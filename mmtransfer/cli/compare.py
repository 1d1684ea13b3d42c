"""`mmtransfer compare RUN RUN ...`: finished runs side by side."""

from __future__ import annotations

import dataclasses

import tyro

from mmtransfer.cli import records, tables
from mmtransfer.cli.layout import show_json
from mmtransfer.cli.words import parse


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders of finished runs of one task on one test set; any other folder stands for the runs under it. Runs that
    differ in their seed alone are put together."""
    all_pairs: bool = False
    """Test every pair, and not only the best with each of the others."""
    out: str | None = None
    """File to write: .html, a page with verdicts, costs and the examples that decide; .md, .csv or .json, a row a
    configuration, the best first."""
    json: bool = False
    """Print JSON instead of a table: entries with scores and costs, and the tested differences."""


def run(words: list[str]) -> None:
    """Prints scores, costs and verdicts."""
    said = parse(Words, words, "compare", "Scores, costs and paired tests of finished runs.")
    from mmtransfer.comparison import compare
    from mmtransfer.report import exports

    if said.out is not None:
        exports.check(said.out)
    comparison = compare(said.runs, said.all_pairs)
    if said.json:
        show_json(records.of_comparison(comparison))
    else:
        tables.show_comparison(comparison)
    if said.out is not None:
        exports.export(comparison, said.out)
        if not said.json:
            print(f"the comparison is in {said.out}")
