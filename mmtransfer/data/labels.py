"""Names of groups, and what stands between several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SEPARATOR = "|"
"""Between the labels of one example, unless the user names another."""


def read_groups(values: Sequence[Any]) -> tuple[list[str | None], dict[int, str]]:
    """Names of groups, None where there is none, and by number why some cannot be names."""
    names: list[str | None] = []
    bad: dict[int, str] = {}
    for number, value in enumerate(values):
        try:
            names.append(None if value is None or value != value else str(value) or None)
        except ValueError as error:  # an integer of more digits than Python prints
            names.append(None)
            bad[number] = f"the group is no name ({error})"
    return names, bad
