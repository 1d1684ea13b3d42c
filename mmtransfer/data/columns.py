"""Which column holds what: the user's choice, or a guess where only one is possible."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mmtransfer.data.labels import SEPARATOR, Kind
from mmtransfer.data.records import listing
from mmtransfer.data.table import Modality
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")
Role = Literal["file", "text", "pair", "label", "transcript", "group"]

ROLES: dict[Modality, tuple[Role, Role]] = {
    "image": ("file", "label"),
    "text": ("text", "label"),
    "speech": ("file", "transcript"),
}
"""For each modality the column with the input and the one with the answer; `group` may be there as well, of text
`pair`, the second text of each example."""

NAMES: dict[Role, frozenset[str]] = {
    "file": frozenset(
        {"file_name", "file", "filename", "path", "file_path", "filepath"}
        | {"image", "image_path", "img", "audio", "audio_path", "audio_file", "wav"}
    ),
    "text": frozenset(
        {"text", "sentence", "content", "utterance", "question", "review", "document", "query", "message"}
    ),
    "label": frozenset({"label", "category", "class", "intent", "target", "labels", "sentiment", "topic"}),
    "transcript": frozenset({"text", "transcript", "transcription", "sentence", "utterance", "transcripts"}),
    "group": frozenset({"speaker", "speaker_id", "client_id", "spk", "spk_id"}),
}
"""Usual names of the columns, in lower case."""

PAIRS: tuple[tuple[str, str], ...] = (
    *((f"{name}{one}", f"{name}{two}") for name in ("text", "sentence", "question") for one, two in ("12", "ab")),
    *((f"{name}_{one}", f"{name}_{two}") for name in ("text", "sentence", "question") for one, two in ("12", "ab")),
    ("premise", "hypothesis"),
    ("question", "answer"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
)
"""Usual names of the two columns of a pair of texts, in lower case."""


@dataclass(frozen=True)
class Columns:
    """The user's choice of columns; None: guess.

    `text`: the sentence to classify; `pair`: the second text where pairs are classified; `label`: the answer of an
    image or text, and `kind` what it is, with `separator` between several labels; `file`: file name, relative to the
    table; `transcript`: what is said; `group`: the speaker, patient, author, ... whose examples belong together,
    guessed of speech only; `group_needed`: whether it is an error if `group` is not there; `paired`: whether examples
    are pairs, None: if `pair` is named, or two columns have names of `PAIRS`; `rate`: samples a second of recordings
    that are given as arrays without a rate.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    file: str | None = None
    transcript: str | None = None
    group: str | None = None
    group_needed: bool = True
    paired: bool | None = None
    kind: Kind = "label"
    separator: str = SEPARATOR
    rate: int = 16_000

    @property
    def named(self) -> set[str]:
        """The names that the user gave."""
        return {getattr(self, role) for role in get_args(Role)} - {None}


def choose(
    header: Sequence[str],
    wordy: Sequence[str],
    columns: Columns,
    modality: Modality,
    labelled: bool,
    where: str,
) -> Mapping[Role, str]:
    """The column of every role that is there.

    `header`: all names; `wordy`: those whose values are not all numbers (text is guessed among them only);
    `labelled`: whether the answer is needed; if not it is left out, and what names it need not exist.
    Raises MMTransferError for a name that is not there, for two possible guesses, and for none.
    """
    source, answer = ROLES[modality]
    found: dict[Role, str] = {}
    guessed: dict[Role, str] = {}
    roles: list[Role] = [source, answer]
    if modality == "text":
        roles.append("pair")
    if modality == "speech" or columns.group is not None:
        roles.append("group")
    for role in roles:
        wanted = getattr(columns, role)
        needed = labelled or role in (source, "pair")
        if wanted is not None:
            if wanted in header:
                found[role] = wanted
            elif role == "group" and not columns.group_needed:
                logger.info("%s has no column %r: what it shares with the training data is not known", where, wanted)
            elif needed:
                raise unknown("column", wanted, header, f"--{role}-column of {where}")
    if modality == "text" and columns.paired is not False and not {"text", "pair"} & found.keys():
        guessed |= _pair(header, set(found.values()), labelled)
        found |= guessed
    if columns.paired and "pair" not in found:
        raise _missing("pair", header, where)
    for role in roles:
        if role in found or role == "pair" or (role == "group" and columns.group is not None):
            continue
        usual = [name for name in header if name.lower() in NAMES[role] and name not in found.values()]
        if len(usual) == 1:
            found[role] = guessed[role] = usual[0]
        elif len(usual) > 1 and (labelled or role == source):
            raise _ambiguous(role, usual, where)
    for role in (source, answer):
        if role in found or (role == answer and not labelled):
            continue
        rest = [name for name in (wordy if role == "text" else header) if name not in found.values()]
        if len(rest) != 1:
            raise _ambiguous(role, rest, where) if rest else _missing(role, header, where)
        found[role] = guessed[role] = rest[0]
    if not labelled:
        found = {role: name for role, name in found.items() if role in (source, "pair")}
    told = ", ".join(f"{role} {name!r}" for role, name in guessed.items() if role in found)
    if told:
        logger.info("columns of %s: %s", where, told)
    if len(set(found.values())) < len(found):
        flags = ", ".join(f"--{role}-column {name}" for role, name in found.items())
        raise MMTransferError("One column is given two meanings", f"{flags} of {where}", "name different columns")
    return found


def _pair(header: Sequence[str], taken: set[str], labelled: bool) -> dict[Role, str]:
    """The two columns of a pair, if just one pair of usual names is there and leaves a column for the label."""
    free = {name.lower(): name for name in header if name not in taken}
    there = [(free[one], free[two]) for one, two in PAIRS if one in free and two in free]
    if len(there) != 1 or (labelled and not taken and len(free) < 3):
        return {}
    return {"text": there[0][0], "pair": there[0][1]}


def _ambiguous(role: Role, names: Sequence[str], where: str) -> MMTransferError:
    return MMTransferError(
        f"{len(names)} columns may hold the {role}: {listing(names)}", where, f"choose one with --{role}-column NAME"
    )


def _missing(role: Role, header: Sequence[str], where: str) -> MMTransferError:
    return MMTransferError(
        f"No column left for the {role}; there are {listing(header)}",
        where,
        f"add one, or name it with --{role}-column NAME",
    )
