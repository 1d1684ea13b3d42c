"""What a launcher of several processes has told this one, in variables that somebody may have set wrongly."""

from __future__ import annotations

import os

from mmtransfer.errors import MMTransferError

NUMBERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_PORT")
PLACES = (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
"""A process's number, from 0, and how many there are."""
MEETING = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""What several processes need to find each other."""
DO = "unset it, or start with torchrun or accelerate launch, which set all of them"


def number(name: str, default: int) -> int:
    """A variable as a whole number, 0 or more (-1, which accelerate takes for no number, is one too)."""
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and len(value) < 10 and (value.isdecimal() or value == "-1")):
        raise MMTransferError(f"{name} is no whole number: {value!r}", f"the environment variable {name}", DO)
    return int(value)


def is_main() -> bool:
    """Whether this process is the one that tells and writes."""
    return number("RANK", 0) <= 0


def processes() -> int:
    """How many processes were started."""
    return number("WORLD_SIZE", 1)


def local_processes() -> int:
    """How many of them are on this machine."""
    return number("LOCAL_WORLD_SIZE", 1)


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """This process's share of them, at least one."""
    return max(1, cores() // local_processes())


def check() -> None:
    """Raises MMTransferError for variables that are no numbers, or do not fit each other."""
    found = {name: number(name, -1) for name in NUMBERS if os.environ.get(name)}
    for place, count in PLACES:
        if place in found and count in found and not found[place] < found[count]:
            raise MMTransferError(
                f"{place} is {found[place]}, but there are {found[count]} processes, counted from 0",
                f"the environment variables {place} and {count}",
                DO,
            )
    missing = [name for name in MEETING if not os.environ.get(name)]
    if found.get("WORLD_SIZE", 1) > 1 and missing:
        raise MMTransferError(
            f"WORLD_SIZE is {found['WORLD_SIZE']}, but {' and '.join(missing)} say(s) nothing",
            "the environment variables of a launcher",
            DO,
        )
    if not found.get("MASTER_PORT", 1) < 2**16:
        raise MMTransferError(
            f"There is no port {found['MASTER_PORT']}", "the environment variable MASTER_PORT", "give one below 65536"
        )
