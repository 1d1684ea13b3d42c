"""`mmtransfer completion bash|zsh|fish`: the script that completes verbs, tasks and flags in a shell."""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Annotated, Any, Literal, Union

import tyro

from mmtransfer.cli import help
from mmtransfer.cli.flags import flags_of
from mmtransfer.cli.words import parse
from mmtransfer.config.tasks import TASKS

ABOUT = """Prints the script that completes verbs, tasks and flags when Tab is pressed. To install it:
  bash: cd ~/.local/share/bash-completion/completions
        mmtransfer completion bash > mmtransfer
  zsh:  mmtransfer completion zsh > ~/.zfunc/_mmtransfer
        (~/.zfunc must be in $fpath)
  fish: mmtransfer completion fish > ~/.config/fish/completions/mmtransfer.fish"""


@dataclasses.dataclass(frozen=True)
class Words:
    """What can be said after the verb."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """bash, zsh or fish."""


def run(words: list[str]) -> None:
    """Prints the script, which tyro makes."""
    said = parse(Words, words, "completion", ABOUT)
    plainly = (tyro.conf.OmitSubcommandPrefixes,)
    tyro.cli(everything(), args=["--tyro-print-completion", said.shell], prog="mmtransfer", config=plainly)


def everything() -> Any:
    """All verbs as one type: the words of each, and those that take a task with the flags of each task."""
    kinds: list[Any] = []
    # the package that registers all verbs, this one among them, so it cannot be imported by its own parts
    for verb, function in sys.modules["mmtransfer.cli"].VERBS.items():
        words = getattr(sys.modules[function.__module__], "Words", None)
        kind = _tasks(verb) if words is None else _in_one_line(words)
        kinds.append(Annotated[kind, tyro.conf.subcommand(name=verb)])
    return Union[tuple(kinds)]  # noqa: UP007


def _in_one_line(kind: type[Any]) -> type[Any]:
    """The same dataclass with descriptions in a line each: the shells would take a second line for a word."""
    hints, documents = typing.get_type_hints(kind, include_extras=True), help.documents_of(kind)
    fields: list[Any] = []
    for field in dataclasses.fields(kind):
        about = tyro.conf.arg(help=" ".join(documents[field.name].split()))
        default = () if field.default is dataclasses.MISSING else (dataclasses.field(default=field.default),)
        fields.append((field.name, Annotated[hints[field.name], about], *default))
    return dataclasses.make_dataclass(kind.__name__, fields, kw_only=True)


def _tasks(verb: str) -> type[Any]:
    """The type of a verb that takes a task, and then the flags of it."""
    kinds = [Annotated[flags_of(task), tyro.conf.subcommand(name=task)] for task in TASKS]
    made = dataclasses.make_dataclass(verb.title(), [("task", Union[tuple(kinds)])])  # noqa: UP007
    made.__doc__ = f"What `{verb}` takes."
    return made
