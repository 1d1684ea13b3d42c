"""Examples that a task cannot use: all listed, or left out and recorded."""

from __future__ import annotations

from collections.abc import Mapping

from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError

LISTED = 10
"""Examples that an error names."""


def leave_out(table: Table, split: str, bad: Mapping[int, str], skip_bad: bool, what: str) -> Table:
    """The table without the rows in `bad`, which are recorded with their reasons.

    Raises MMTransferError, which calls them `what`, if there are any and `skip_bad` is not set, or no row is left.
    """
    if not bad:
        return table
    if not skip_bad or len(bad) == len(table):
        names = table.ids
        listing = "; ".join(f"{names[place]}: {reason}" for place, reason in list(bad.items())[:LISTED])
        raise MMTransferError(
            f"{len(bad)} {what}: {listing}",
            f"{table.source} (--{split})",
            "correct them, or leave them out with --skip-bad",
        )
    return table.without(list(bad), list(bad.values()))
