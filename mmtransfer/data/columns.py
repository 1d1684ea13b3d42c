"""Which column holds what: the user's choice, or a guess where only one is possible."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmtransfer.data.kinds import ANSWERS, AnswerKind, InputKind, Kind
from mmtransfer.data.labels import SEPARATOR
from mmtransfer.data.records import listing
from mmtransfer.errors import MMTransferError, unknown

logger = logging.getLogger("mmtransfer")
PAIR, GROUP = "pair", "group"
"""Roles of the columns beside input and answer: the second text of a pair, and what belongs together."""
GROUPS = frozenset({"speaker", "speaker_id", "client_id", "spk", "spk_id"})
"""Usual names of the column of groups, in lower case."""

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
    """The user's choice of columns; a name that is None is guessed.

    `file`: file name, relative to the table; `text`, and `pair`, the second text where pairs are classified; `words`:
    lists of words; `label`, `transcript`, `tags`: the answer; `group`: the speaker, patient, author, ... whose examples
    belong together, guessed of recordings only; `group_needed`: whether it is an error if `group` is not there;
    `paired`: whether examples are pairs, None: if `pair` is named, or two columns have names of `PAIRS`; `kind`: the
    kind of the answers, the usual one of the inputs if None, with `separator` between several labels; `rate`: samples a
    second of recordings that are given as arrays without a rate.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    file: str | None = None
    transcript: str | None = None
    words: str | None = None
    tags: str | None = None
    group: str | None = None
    group_needed: bool = True
    paired: bool | None = None
    kind: str | None = None
    separator: str = SEPARATOR
    rate: int = 16_000

    @property
    def named(self) -> set[str]:
        """The names that the user gave."""
        roles = ("text", "pair", "label", "file", "transcript", "words", "tags", "group")
        return {getattr(self, role) for role in roles} - {None}

    def answer(self, input: InputKind) -> AnswerKind:
        """The kind of the answers."""
        return ANSWERS[self.kind or input.answer]


def choose(
    header: Sequence[str], wordy: Sequence[str], columns: Columns, input: InputKind, labelled: bool, where: str
) -> Mapping[str, str]:
    """The column of every role that is there: of input and answer those of their kinds, PAIR, GROUP.

    `header`: all names; `wordy`: those whose values are not all numbers (text is guessed among them only);
    `labelled`: whether the answer is needed; if not it is left out, and what names it need not exist.
    Raises MMTransferError for a name that is not there, for two possible guesses, and for none.
    """
    return _Choice(header, wordy, columns, input, labelled, where).made()


class _Choice:
    """One call of `choose`: `chosen` and, of these, `guessed` columns by role."""

    def __init__(
        self,
        header: Sequence[str],
        wordy: Sequence[str],
        columns: Columns,
        input: InputKind,
        labelled: bool,
        where: str,
    ) -> None:
        self.header, self.wordy, self.columns, self.input = header, wordy, columns, input
        self.labelled, self.where, self.answer = labelled, where, columns.answer(input)
        self.chosen: dict[str, str] = {}
        self.guessed: dict[str, str] = {}

    def made(self) -> Mapping[str, str]:
        self._take_named()
        if self.input.pairs:
            self._take_pair()
        self._take_usual()
        self._take_rest()
        roles = (self.input.role, PAIR)
        chosen = self.chosen if self.labelled else {role: self.chosen[role] for role in roles if role in self.chosen}
        told = ", ".join(f"{role} {name!r}" for role, name in self.guessed.items() if role in chosen)
        if told:
            logger.info("columns of %s: %s", self.where, told)
        if len(set(chosen.values())) < len(chosen):
            flags = ", ".join(f"--{role}-column {name}" for role, name in chosen.items())
            raise MMTransferError(
                "One column is given two meanings", f"{flags} of {self.where}", "name different columns"
            )
        return chosen

    def _take_named(self) -> None:
        """Takes the columns that the user names."""
        roles = [self.input.role, self.answer.role]
        roles += [PAIR] if self.input.pairs else []
        for role in [*roles, GROUP]:
            name = getattr(self.columns, role)
            if name is None:
                continue
            if name in self.header:
                self.chosen[role] = name
            elif role == GROUP and not self.columns.group_needed:
                what = "what it shares with the training data is not known"
                logger.info("%s has no column %r: %s", self.where, name, what)
            elif self.labelled or role in (self.input.role, PAIR):
                raise unknown("column", name, self.header, f"--{role}-column of {self.where}")

    def _take_pair(self) -> None:
        """Takes two columns with usual names of a pair of texts, where the user names neither."""
        if self.columns.paired is not False and not {self.input.role, PAIR} & self.chosen.keys():
            self._guess(_pair(self.header, set(self.chosen.values()), self.labelled))
        if self.columns.paired and PAIR not in self.chosen:
            raise _missing(PAIR, self.header, self.where)

    def _take_usual(self) -> None:
        """Takes columns by their usual names."""
        usual = {self.input.role: self.input.usual, self.answer.role: self._usual_answers()}
        if self.input.groups_guessed and self.columns.group is None:
            usual[GROUP] = GROUPS
        for role, names in usual.items():
            if role in self.chosen:
                continue
            there = [name for name in self.header if name.lower() in names and name not in self.chosen.values()]
            if len(there) == 1:
                self._guess({role: there[0]})
            elif len(there) > 1 and (self.labelled or role == self.input.role):
                raise _ambiguous(role, there, self.where)

    def _usual_answers(self) -> frozenset[str]:
        """The usual names of the answer's column; where another kind of answer is as usual for such inputs, of both:
        a recording's label beside its transcript is for the user to choose."""
        other = ANSWERS[self.input.answer]
        if not self.input.groups_guessed or other.role == self.answer.role:
            return self.answer.usual
        there = {name.lower() for name in self.header}
        return self.answer.usual | other.usual if self.answer.usual & there else self.answer.usual

    def _take_rest(self) -> None:
        """Takes the only column that is left for the input or the answer."""
        kinds: list[Kind] = [self.input, *([self.answer] if self.labelled else [])]
        for kind in kinds:
            if kind.role in self.chosen:
                continue
            rest = [n for n in (self.wordy if kind.wordy else self.header) if n not in self.chosen.values()]
            if len(rest) != 1:
                raise (_ambiguous if rest else _missing)(kind.role, rest or self.header, self.where)
            self._guess({kind.role: rest[0]})

    def _guess(self, columns: Mapping[str, str]) -> None:
        self.chosen |= columns
        self.guessed |= columns


def _pair(header: Sequence[str], taken: set[str], labelled: bool) -> dict[str, str]:
    """The two columns of a pair, if just one pair of usual names is there and leaves a column for the label."""
    free = {name.lower(): name for name in header if name not in taken}
    there = [(free[one], free[two]) for one, two in PAIRS if one in free and two in free]
    if len(there) != 1 or (labelled and not taken and len(free) < 3):
        return {}
    return {"text": there[0][0], PAIR: there[0][1]}


def _ambiguous(role: str, names: Sequence[str], where: str) -> MMTransferError:
    return MMTransferError(
        f"{len(names)} columns may hold the {role}: {listing(names)}", where, f"choose one with --{role}-column NAME"
    )


def _missing(role: str, header: Sequence[str], where: str) -> MMTransferError:
    return MMTransferError(
        f"No column left for the {role}; there are {listing(header)}",
        where,
        f"add one, or name it with --{role}-column NAME",
    )
