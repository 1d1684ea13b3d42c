"""`mmtransfer completion bash|zsh|fish`: the script that completes verbs, tasks and flags in a shell."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Annotated, Any, Literal, Union

import tyro

from mmtransfer.cli import help
from mmtransfer.cli.flags import Option, flags_of
from mmtransfer.cli.words import parse
from mmtransfer.config.tasks import TASKS
from mmtransfer.strategies import STRATEGIES

KNOWN: Mapping[str, Sequence[str]] = {"--strategies": list(STRATEGIES)}
"""What can stand behind a flag of several values."""

_LINES = "  # Check for special path completion marker."
MARKED = {"bash": _LINES, "zsh": _LINES, "fish": '    if test "$results" = __TYRO_COMPLETE_FILES__'}
"""By shell, the line of tyro's script that heeds its sign for names of files."""
FILES = {
    "bash": """  if [[ -z "$completions" ]]; then
    COMPREPLY=()
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    compopt -o filenames 2>/dev/null
    return 0
  fi
""",
    "zsh": '  [[ -n "$completions" ]] || completions=__TYRO_COMPLETE_FILES__\n',
    "fish": '    test -n "$results"; or set results __TYRO_COMPLETE_FILES__\n',
}
"""What offers names of files where nothing else completes a word, such as that of a run or of data. The sign alone
would not do in bash: there tyro's script looks for a name that begins with the words before it."""

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
    """Prints the script, which tyro makes, with names of files where nothing else is known."""
    said = parse(Words, words, "completion", ABOUT)
    plainly, script = (tyro.conf.OmitSubcommandPrefixes,), io.StringIO()
    try:
        with contextlib.redirect_stdout(script):
            tyro.cli(everything(), args=["--tyro-print-completion", said.shell], prog="mmtransfer", config=plainly)
    except SystemExit as ended:
        if ended.code:
            raise
    before, marker, after = script.getvalue().rpartition(MARKED[said.shell])
    print(before + (FILES[said.shell] if marker else "") + marker + after, end="")


def everything() -> Any:
    """All verbs as one type: the words of each, and those that take a task with the flags of each task."""
    kinds: list[Any] = []
    # the package that registers all verbs, this one among them, so it cannot be imported by its own parts
    for verb, function in sys.modules["mmtransfer.cli"].VERBS.items():
        module = sys.modules[function.__module__]
        words = getattr(module, "Words", None)
        kind = _of_tasks(verb, module) if words is None else _of_words(verb, words)
        kinds.append(Annotated[kind, tyro.conf.subcommand(name=verb)])
    return _one_of(kinds)


def _of_words(verb: str, kind: type[Any]) -> Any:
    """The words of a verb: those of which the first is one of a few are one dataclass for each of these."""
    hints = typing.get_type_hints(kind)
    fields = list(_fields(kind))
    first = fields[0][0] if fields else ""
    if typing.get_origin(hints.get(first)) is not Literal:
        return dataclasses.make_dataclass(verb.title(), fields, kw_only=True)
    rest = dataclasses.make_dataclass(verb.title(), fields[1:], kw_only=True)
    return _then(verb, {word: rest for word in typing.get_args(hints[first])})


def _fields(kind: type[Any]) -> Iterator[Any]:
    """The fields of a dataclass with descriptions in a line each: the shells would take a second line for a word."""
    hints, documents = typing.get_type_hints(kind, include_extras=True), help.documents_of(kind)
    for field in dataclasses.fields(kind):
        about = tyro.conf.arg(help=" ".join(documents[field.name].split()))
        default = () if field.default is dataclasses.MISSING else (dataclasses.field(default=field.default),)
        yield (field.name, Annotated[hints[field.name], about], *default)


def _of_tasks(verb: str, module: ModuleType) -> type[Any]:
    """The words of a verb that takes a task, and then the flags of `fit` but those that it does not read, and its
    own."""
    own, unread = getattr(module, "FLAGS", ()), getattr(module, "UNREAD", ())
    return _then(verb, {task: flags_of(task, unread, [_option(one) for one in own]) for task in TASKS})


def _then(verb: str, kinds: Mapping[str, type[Any]]) -> type[Any]:
    """The type of a verb after which stands one of several words, and then the flags of that."""
    named = [Annotated[kind, tyro.conf.subcommand(name=word)] for word, kind in kinds.items()]
    made = dataclasses.make_dataclass(verb.title(), [("word", _one_of(named))])
    made.__doc__ = f"What `{verb}` takes."
    return made


def _one_of(kinds: Sequence[Any]) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007


def _option(one: help.Entry) -> Option:
    """A flag of a verb that reads its own flags, as its help tells of it."""
    kind: Any = str
    default: Any = ""
    if not one.value:
        kind, default = bool, False
    elif one.value == "NUMBER":
        kind, default = float, 0.0
    elif one.value == "NAME ...":
        each: Any = Literal[tuple(KNOWN[one.spelled])] if one.spelled in KNOWN else str
        kind, default = tuple[each, ...], ()
    elif "|" in one.value:
        kind, default = Literal[tuple(one.value.split("|"))], one.default
    return Option(one.spelled[2:].replace("-", "_"), one.spelled, kind, default, one.about)
