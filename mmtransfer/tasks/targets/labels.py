"""The labels that training knows, and the refusal of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtransfer import documents
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError, nearest

PER_LABEL = 20
"""Up to so many labels each one's scores stand in result.json."""


class Labels:
    """Names, numbered in the order given."""

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Labels:
        """The labels in the state of a task; ValueError for what are none."""
        documents.check(state, {"labels": [str]})
        if not state["labels"]:
            raise ValueError("there are no labels")
        return cls(state["labels"])

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self.numbers = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def check(self, table: Table, split: str, labels: Sequence[Sequence[str]], skip_bad: bool) -> Table:
        """The table without examples that have an unknown label; without `skip_bad`, or if no example is left, raises
        MMTransferError. `labels`: those of each example."""
        unseen = [[name for name in own if name not in self.numbers] for own in labels]
        bad = [place for place, names in enumerate(unseen) if names]
        if not bad:
            return table
        if not skip_bad or len(bad) == len(table):
            known = sorted({name for names in unseen for name in names})
            first = known[0]
            row = table.ids[next(place for place in bad if first in unseen[place])]
            raise MMTransferError(
                f"{len(known)} label(s) unseen in training: {', '.join(map(repr, known[:10]))}",
                f"{table.source} (--{split}), first in row {row}",
                f"correct them (closest to {first!r}: {', '.join(nearest(first, self.names))})"
                + (", or leave those rows out with --skip-bad" if not skip_bad else ""),
            )
        return table.without(bad, [f"label {unseen[place][0]!r} unseen in training" for place in bad])

    def match(self, labels: Sequence[str], source: str) -> list[str]:
        """These labels as the names spell them, case aside; raises MMTransferError that lists those not among them."""
        spelled = {name.casefold(): name for name in self.names}
        strange = sorted({label for label in labels if label.casefold() not in spelled})
        if strange:
            raise MMTransferError(
                f"{len(strange)} label(s) that the checkpoint does not have: {', '.join(map(repr, strange[:10]))}",
                source,
                f"spell them as the checkpoint's {len(self)} labels (closest to {strange[0]!r}: "
                f"{', '.join(nearest(strange[0], self.names))})",
            )
        return [spelled[label.casefold()] for label in labels]
