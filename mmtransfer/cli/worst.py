"""`mmtransfer worst RUN`: the most wrong answers as text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from mmtransfer.cli.layout import show_json, show_line
from mmtransfer.cli.words import parse
from mmtransfer.run import RunFolder
from mmtransfer.terminal import visible


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 20
    """How many."""
    scored_on: str | None = None
    """The data that the run was scored on, where they have moved."""
    json: bool = False
    """Print JSON."""


def run(words: list[str]) -> None:
    """Prints input, truth, answer and confidence, the most wrong first."""
    said = parse(Words, words, "worst", "The most wrong answers of a finished run.")
    RunFolder(Path(said.run)).refuse_absent()
    from mmtransfer.report.evidence import gather
    from mmtransfer.report.worst import worst

    evidence = gather(said.run, said.scored_on)
    rows = worst(evidence, said.n)
    if said.json:
        show_json([row._asdict() for row in rows])
        return
    answers = evidence.answers
    assert answers is not None  # else there were no rows
    wrong = int((~answers.right).sum())
    called = "answers by distance" if answers.kind == "value" else f"wrong answers of {len(answers):,}"
    show_line(f"{wrong:,} {called} on {evidence.split} data; the {len(rows)} worst first, by {answers.worse_by}")
    for number, row in enumerate(rows, 1):
        _show(number, row)
    if evidence.inputs.why:
        show_line(evidence.inputs.why)


def _show(number: int, row: Any) -> None:
    """Two or three lines of an answer."""
    sure = "" if row.confidence is None else f"  ({100 * row.confidence:.1f} % sure)"
    text = " ".join(row.input.split())
    print()
    print(visible(f"{number:>3}  {text if len(text) <= 300 else text[:297] + '...'}"))
    if row.input != row.id:
        print(visible(f"     id      {row.id}"))
    print(visible(f"     truth   {row.truth}"))
    print(visible(f"     answer  {row.answer}{sure}"))
