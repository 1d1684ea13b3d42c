"""Every example is looked at before the first step; bad ones are all listed, or left out and recorded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from mmtransfer.data import audio, images
from mmtransfer.data.labels import Kind
from mmtransfer.data.table import THREADS, File, Modality, Table, make
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")
LISTED = 10
"""Bad examples that an error names; it counts the rest."""
CHUNK = 16
"""Files that a thread looks at between two hand-overs, which cost as much as a small picture."""


@dataclass
class Draft:
    """Examples on their way into a table.

    `ids`, `places` (what messages call them), `inputs`, `answers` (of what `kind` says), `speakers` (groups of any
    kind), `pairs` (second texts): one entry an example; `bad`: by number, why an example cannot be used, as far as
    reading the source told.
    """

    ids: list[str]
    places: list[str]
    inputs: Sequence[str] | Sequence[File]
    answers: list[Any] | None = None
    speakers: list[str | None] | None = None
    bad: dict[int, str] = field(default_factory=dict)
    pairs: list[str] | None = None
    kind: Kind = "label"


def finish(
    draft: Draft,
    modality: Modality,
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
    bad = _bad_answers(draft, modality) | _bad_inputs(draft, modality, max_seconds) | draft.bad
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
        modality, source, draft.ids, draft.inputs, draft.answers, draft.speakers, pairs=draft.pairs, kind=draft.kind
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


def _bad_inputs(draft: Draft, modality: Modality, max_seconds: float | None) -> dict[int, str]:
    if modality == "text":
        texts = cast(Sequence[str], draft.inputs)
        seconds = enumerate(draft.pairs or ())
        bad = {number: "the second text of the pair is empty" for number, text in seconds if not text.strip()}
        first = "the text is empty" if draft.pairs is None else "the first text of the pair is empty"
        return bad | {number: first for number, text in enumerate(texts) if not text.strip()}
    bad = {}
    files = cast(Sequence[File], draft.inputs)
    seen: dict[str, int] = {}
    for number, name in enumerate(draft.ids):
        if number not in draft.bad and seen.setdefault(name, number) != number:
            bad[number] = f"the file is listed before, as {draft.places[seen[name]]}"
    look = images.fault if modality == "image" else partial(audio.fault, max_seconds=max_seconds)
    numbers = [number for number in range(len(files)) if number not in draft.bad and number not in bad]
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]

    def faults(chunk: list[int]) -> dict[int, str | None]:
        return {number: _fault_on_disk(files[number]) or look(files[number]) for number in chunk}

    with images.own_limit(), ThreadPoolExecutor(THREADS) as threads:
        found = [pair for part in threads.map(faults, chunks) for pair in part.items()]
    return bad | {number: fault for number, fault in found if fault}


def _fault_on_disk(file: File) -> str | None:
    path = file["path"]
    if path is None:
        return None if file["bytes"] else "there are no bytes"
    if not os.path.exists(path):
        return f"no such file: {path}"
    if not os.path.isfile(path):
        return f"not a file: {path}"
    return None if os.path.getsize(path) else "the file is empty (0 bytes)"


def _bad_answers(draft: Draft, modality: Modality) -> dict[int, str]:
    if draft.kind != "label":  # several labels may be none; a number was read or is in `draft.bad`
        return {}
    kind = "transcript" if modality == "speech" else "label"
    return {number: f"the {kind} is empty" for number, answer in enumerate(draft.answers or ()) if not answer.strip()}
