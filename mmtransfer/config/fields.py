"""How a setting is declared: its default, what its value must be, and who fills it in where the user says nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmtransfer.errors import MMTransferError


@dataclass(frozen=True)
class Range:
    """Values that a setting may have."""

    told: str
    """What a message says that it must be."""
    holds: Callable[[Any], bool]


POSITIVE = Range("more than 0", lambda value: value > 0)
NOT_NEGATIVE = Range("0 or more", lambda value: value >= 0)
SHARE = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
PART = Range("between 0 and 1", lambda value: 0 < value < 1)
UP_TO_ALL = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
UP_TO_SIX = Range("from 1 to 6", lambda value: 1 <= value <= 6)
NOT_EMPTY = Range("a character or more", lambda value: value != "")
COLOURS = Range("three numbers", lambda value: _three(value, -math.inf))
COLOURS_ABOVE_0 = Range("three numbers above 0", lambda value: _three(value, 0.0))


def setting(default: Any = None, must: Range | None = None) -> Any:
    """A setting with a default, None included, that stays as it is."""
    return dataclasses.field(default=default, metadata={"must": must})


def filled(must: Range | None = None) -> Any:
    """A setting that is None only until `resolution.resolve` fills in what the task, the strategy or the machine takes;
    its type says what it is from then on, for every task that reads it."""
    return dataclasses.field(default=None, metadata={"must": must})


def flag(name: str) -> str:
    """A setting's spelling on the command line."""
    return "--" + name.replace("_", "-")


def check_range(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises MMTransferError for a value, not None, that the setting may not have."""
    must: Range | None = field.metadata.get("must")
    if value is not None and must is not None and not must.holds(value):
        spelled = flag(field.name)
        raise MMTransferError(f"{spelled} must be {must.told}, not {value!r}", spelled, "change the value")


def _three(values: Any, above: float) -> bool:
    """Whether these are a number for each colour, above a limit and finite."""
    listed = isinstance(values, tuple | list) and len(values) == 3
    return listed and all(isinstance(value, int | float) and above < value < math.inf for value in values)
