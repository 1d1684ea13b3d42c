"""`mmtransfer push RUN ORG/NAME`: model and card of a finished run on the Hugging Face hub."""

from __future__ import annotations

import dataclasses

import tyro

from mmtransfer.cli.words import parse
from mmtransfer.terminal import visible


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    run: tyro.conf.Positional[str]
    """Folder of a finished run."""
    name: tyro.conf.Positional[str]
    """Where it goes on the hub: ORG/NAME."""
    public: bool = False
    """Anybody may see the repository, if it is new; else only you and your organisation."""


def run(words: list[str]) -> None:
    """Uploads, and says where."""
    said = parse(Words, words, "push", "Uploads model and card of a finished run to the Hugging Face hub.")
    from mmtransfer.push import push

    print(visible(f"uploaded: {push(said.run, said.name, said.public)}"))
