"""`mmtransfer demo`: transfer beside scratch on the built-in data of every task."""

from __future__ import annotations

import dataclasses

from mmtransfer.cli.installation import check_trio
from mmtransfer.cli.words import parse


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    out: str | None = None
    """Folder of the run folders; runs/demo-DATE-TIME if not given."""


def run(words: list[str]) -> None:
    """Trains all of it and prints one table."""
    said = parse(Words, words, "demo", "Transfer beside scratch on the built-in data of every task.")
    check_trio()
    from mmtransfer.demo import demo

    demo(said.out)
