"""Every example is looked at before the first step; bad ones are all listed, or left out and recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmtransfer.data import images
from mmtransfer.data.kinds import ANSWERS, INPUTS, InputKind
from mmtransfer.data.reading import Reading
from mmtransfer.data.survey import survey
from mmtransfer.data.table import THREADS, Table, make
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
LISTED = 10
"""Bad examples that an error names; it counts the rest."""
CHUNK = 16
"""Files that a thread looks at between two hand-overs, which cost as much as a small picture."""


@dataclass
class Draft:
    """Examples on their way into a table.

    `ids`, `places` (what messages call them), `inputs`, `answers` (of the kind named `kind`, the input's usual one if
    None), `groups`, `pairs` (second texts): one entry an example; `bad`: by number, why an example cannot be used, as
    far as reading the source told.
    """

    ids: list[str]
    places: list[str]
    inputs: Sequence[Any]
    answers: list[Any] | None = None
    groups: list[str | None] | None = None
    bad: dict[int, str] = field(default_factory=dict)
    pairs: list[str] | None = None
    kind: str | None = None


def finish(
    draft: Draft,
    input: str,
    source: str,
    option: str,
    skip_bad: bool,
    labelled: bool,
    max_seconds: float | None = None,
    reading: Reading | None = None,
) -> Table:
    """The table of a draft; recordings above `max_seconds` are bad examples. With `reading` its files are digested and
    measured in the same pass in which they are checked.

    Raises MMTransferError for bad examples, with `skip_bad` only if no other is left.
    """
    # what reading told comes last and wins: a row cut short has an empty label too, but that is not its fault
    kind = INPUTS[input]
    bad = _bad_answers(draft, kind)
    table = None
    if kind.in_files and reading is not None:
        table, faults = _surveyed(draft, as_table(draft, input, source), max_seconds, reading)
        bad |= faults
    else:
        bad |= _bad_inputs(draft, kind, max_seconds)
    bad |= draft.bad
    if bad and (not skip_bad or len(bad) == len(draft.ids)):
        raise _refusal(bad, draft, f"{option} {source}", labelled and not skip_bad)
    if bad:
        first = min(bad)
        logger.warning(
            "%s: %d of %d examples left out, first %s: %s",
            option,
            len(bad),
            len(draft.ids),
            draft.places[first],
            bad[first],
        )
    table = table or as_table(draft, input, source)
    order = sorted(bad)
    return table.without(order, [bad[number] for number in order]) if bad else table


def as_table(draft: Draft, input: str, source: str) -> Table:
    """The table of a draft, bad examples among the others."""
    return make(input, source, draft.ids, draft.inputs, draft.answers, draft.groups, pairs=draft.pairs, kind=draft.kind)


def _surveyed(draft: Draft, table: Table, max_seconds: float | None, reading: Reading) -> tuple[Table, dict[int, str]]:
    """The table with what its files have told, and why some of its rows cannot be used."""
    twice = _listed_twice(draft)
    numbers = np.array([n for n in range(len(table)) if n not in draft.bad and n not in twice], np.int64)
    told = survey(table.select(numbers) if len(numbers) < len(table) else table, max_seconds, reading)
    taken = np.zeros((len(table), *told.digests.shape[1:]), np.uint8)
    extents = np.zeros((len(table), 2), np.int64)
    taken[numbers], extents[numbers] = told.digests, told.extents
    faults = {int(numbers[place]): reason for place, reason in told.faults.items()}
    return replace(table, digests=taken, extents=extents), twice | faults


def _refusal(bad: dict[int, str], draft: Draft, where: str, skippable: bool) -> MMTransferError:
    listing = "; ".join(f"{draft.places[number]}: {bad[number]}" for number in sorted(bad)[:LISTED])
    more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    return MMTransferError(
        f"{len(bad)} of {len(draft.ids)} examples cannot be used: {listing}{more}",
        where,
        "correct or remove them" + (", or leave them out with --skip-bad" if skippable else ""),
    )


def _bad_inputs(draft: Draft, kind: InputKind, max_seconds: float | None) -> dict[int, str]:
    if kind.in_files:
        return _bad_files(draft, kind, max_seconds)
    bad: dict[int, str] = {}
    for place, values in (("second", draft.pairs or ()), ("first" if draft.pairs else "", draft.inputs)):
        for number, value in enumerate(values):
            reason = kind.fault(value, None)
            if reason is not None:
                bad[number] = reason.replace("the text", f"the {place} text of the pair") if place else reason
    return bad


def _bad_files(draft: Draft, kind: InputKind, max_seconds: float | None) -> dict[int, str]:
    bad = _listed_twice(draft)
    numbers = [number for number in range(len(draft.inputs)) if number not in draft.bad and number not in bad]
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]

    def faults(chunk: list[int]) -> dict[int, str | None]:
        return {number: kind.fault(draft.inputs[number], max_seconds) for number in chunk}

    with images.own_limit(), ThreadPoolExecutor(THREADS) as threads:
        found = [pair for part in threads.map(faults, chunks) for pair in part.items()]
    return bad | {number: fault for number, fault in found if fault}


def _listed_twice(draft: Draft) -> dict[int, str]:
    bad = {}
    seen: dict[str, int] = {}
    for number, name in enumerate(draft.ids):
        if number not in draft.bad and seen.setdefault(name, number) != number:
            bad[number] = f"the file is listed before, as {draft.places[seen[name]]}"
    return bad


def _bad_answers(draft: Draft, kind: InputKind) -> dict[int, str]:
    answers = ANSWERS[draft.kind or kind.answer]
    pairs = zip(draft.answers or (), draft.inputs, strict=False)
    reasons = ((number, answers.fault(answer, value)) for number, (answer, value) in enumerate(pairs))
    return {number: reason for number, reason in reasons if reason is not None}
