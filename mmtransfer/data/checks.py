"""Every example is looked at before the first step; bad ones are all listed, or left out and recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mmtransfer.data import images
from mmtransfer.data.kinds import ANSWERS, INPUTS, InputKind
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
) -> Table:
    """The table of a draft; recordings above `max_seconds` are bad examples.

    Raises MMTransferError for bad examples, with `skip_bad` only if no other is left.
    """
    # what reading told comes last and wins: a row cut short has an empty label too, but that is not its fault
    kind = INPUTS[input]
    bad = _bad_answers(draft, kind) | _bad_inputs(draft, kind, max_seconds) | draft.bad
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
    table = make(
        input, source, draft.ids, draft.inputs, draft.answers, draft.groups, pairs=draft.pairs, kind=draft.kind
    )
    order = sorted(bad)
    return table.without(order, [bad[number] for number in order]) if bad else table


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
    bad = {}
    seen: dict[str, int] = {}
    for number, name in enumerate(draft.ids):
        if number not in draft.bad and seen.setdefault(name, number) != number:
            bad[number] = f"the file is listed before, as {draft.places[seen[name]]}"
    numbers = [number for number in range(len(draft.inputs)) if number not in draft.bad and number not in bad]
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]

    def faults(chunk: list[int]) -> dict[int, str | None]:
        return {number: kind.fault(draft.inputs[number], max_seconds) for number in chunk}

    with images.own_limit(), ThreadPoolExecutor(THREADS) as threads:
        found = [pair for part in threads.map(faults, chunks) for pair in part.items()]
    return bad | {number: fault for number, fault in found if fault}


def _bad_answers(draft: Draft, kind: InputKind) -> dict[int, str]:
    answers = ANSWERS[draft.kind or kind.answer]
    pairs = zip(draft.answers or (), draft.inputs, strict=False)
    reasons = ((number, answers.fault(answer, value)) for number, (answer, value) in enumerate(pairs))
    return {number: reason for number, reason in reasons if reason is not None}
