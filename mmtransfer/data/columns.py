"""Which column holds what: the user's choice, or a guess where only one is possible."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmtransfer.data.table import Modality
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")
Role = Literal["file", "text", "label", "transcript", "group"]

ROLES: dict[Modality, tuple[Role, Role]] = {
    "image": ("file", "label"),
    "text": ("text", "label"),
    "speech": ("file", "transcript"),
}
"""For each modality the column with the input and the one with the answer; speech may have `group` as well."""

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


@dataclass(frozen=True)
class Columns:
    """The user's choice of columns; None: guess.

    `text`: the sentence to classify; `label`: the class of an image or text; `file`: file name, relative to the table;
    `transcript`: what is said; `group`: the speaker, patient, author, ... whose examples belong together, guessed of
    speech only; `group_needed`: whether it is an error if `group` is not there.
    """

    text: str | None = None
    label: str | None = None
    file: str | None = None
    transcript: str | None = None
    group: str | None = None
    group_needed: bool = True

    @property
    def named(self) -> set[str]:
        """The names that the user gave."""
        return {value for value in vars(self).values() if isinstance(value, str)}


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
    if modality == "speech" or columns.group is not None:
        roles.append("group")
    for role in roles:
        wanted = getattr(columns, role)
        needed = labelled or role == source
        if wanted is not None:
            if wanted in header:
                found[role] = wanted
            elif role == "group" and not columns.group_needed:
                logger.info("%s has no column %r: what it shares with the training data is not known", where, wanted)
            elif needed:
                raise unknown("column", wanted, header, f"--{role}-column of {where}")
    for role in roles:
        if role in found or (role == "group" and columns.group is not None):
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
        found = {role: name for role, name in found.items() if role == source}
    told = ", ".join(f"{role} {name!r}" for role, name in guessed.items() if role in found)
    if told:
        logger.info("columns of %s: %s", where, told)
    if len(set(found.values())) < len(found):
        flags = ", ".join(f"--{role}-column {name}" for role, name in found.items())
        raise MMTransferError("One column is given two meanings", f"{flags} of {where}", "name different columns")
    return found


def _ambiguous(role: Role, names: Sequence[str], where: str) -> MMTransferError:
    listing = ", ".join(map(repr, names))
    return MMTransferError(
        f"{len(names)} columns may hold the {role}: {listing}", where, f"choose one with --{role}-column NAME"
    )


def _missing(role: Role, header: Sequence[str], where: str) -> MMTransferError:
    listing = ", ".join(map(repr, header))
    return MMTransferError(
        f"No column left for the {role}; there are {listing}", where, f"add one, or name it with --{role}-column NAME"
    )
