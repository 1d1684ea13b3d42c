"""Successive halving (Jamieson & Talwalkar 2016; Li et al. 2018) within a budget of seconds.

A rung is the first part of each candidate's full schedule: going on never changes what was done before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

FACTOR = 3
"""Of the candidates of a rung one in so many goes on, for so many times as long."""
FIRST = FACTOR**2
"""The part of a full schedule that the first of three rungs is."""
LONGER = 2.0
"""Times that a schedule is made longer at most, where the time is enough."""
SOME = 4
"""Candidates that are enough for a longer schedule to be worth more than another one."""
LEAST = 20
"""Steps of the shortest rung."""
JOINED = 1 / 3
"""Of a schedule, about the share of epochs, one at least, in which the winner trains on the validation data as well."""


@dataclass(frozen=True)
class Cost:
    """What a candidate is expected to take, in seconds."""

    start: float
    """Each time that it is begun or gone on with, and scored."""
    epoch: float
    """A pass over the training data."""
    once: float = 0.0
    """Before its first step, such as finding the head that it starts from."""
    storing: float = 0.0
    """Of these, for the states of frozen stages, which other data need again."""


@dataclass(frozen=True)
class Plan:
    """How many candidates are tried, and how far."""

    epochs: int
    """Of every candidate's full schedule."""
    candidates: int
    """Of the first rung: so many of those given, the first ones."""
    shares: tuple[float, ...]
    """Of the full schedule, by rung; the last is 1, or what the epochs on all data leave."""
    seconds: float
    """That it is expected to take."""
    again: float = 0.0
    """How many times as long as its schedule the winner is trained again in the end."""
    joined: int = 0
    """Epochs of the schedule, behind the last rung, that the winner trains on all data."""

    def kept(self, rung: int) -> int:
        """Candidates of a rung."""
        return max(1, math.ceil(self.candidates / FACTOR**rung))


def plan(
    costs: Sequence[Cost],
    steps: int,
    epochs: int,
    seconds: float,
    fixed: bool = False,
    again: float = 0.0,
    wider: float = 0.0,
) -> Plan | None:
    """The best search that fits into `seconds`; None where not even one candidate can be trained for an epoch.

    A few candidates come first, then a longer schedule for them, then more candidates.

    Args:
        costs: of the candidates, the likeliest to win first.
        steps: optimiser steps of an epoch.
        epochs: of a full schedule, which is made shorter where else not even one candidate could be trained, and
            longer, twice as long at most, where the time is enough.
        fixed: whether the schedule stays as it is.
        again: as in the plan; where there is no time for it behind a whole schedule, the plan is one without.
        wider: how many times as long as an epoch one on all data takes, where the last ones are such; 0: they are not.
    """
    for many, candidates in _preferred(len(costs), epochs, fixed):
        if again and many < epochs:  # a longer schedule is worth more than a short one twice
            break
        found = _made(costs, steps, many, candidates, again, wider)
        if found.seconds <= seconds:
            return found
    return plan(costs, steps, epochs, seconds, fixed) if again else None


def _preferred(candidates: int, epochs: int, fixed: bool) -> Iterator[tuple[int, int]]:
    """Epochs and candidates, the best first."""
    few, longest = min(SOME, candidates), epochs if fixed else math.ceil(LONGER * epochs)
    yield from ((longest, number) for number in range(candidates, few, -1))
    for number in range(few, 0, -1):
        yield from ((many, number) for many in range(longest, epochs - 1, -1))
    if not fixed:
        yield from ((fewer, 1) for fewer in range(epochs - 1, 0, -1))


def _made(costs: Sequence[Cost], steps: int, epochs: int, candidates: int, again: float, wider: float) -> Plan:
    joined = max(1, round(JOINED * epochs)) if wider and epochs > 1 else 0
    shares = _shares(candidates, steps * epochs, 1 - joined / epochs)
    found = Plan(epochs, candidates, shares, 0.0, again, joined)
    spent, done = sum(cost.once for cost in costs[:candidates]), 0.0
    for rung, share in enumerate(shares):
        # who goes on is not known: reckon with the slowest
        slowest = sorted(costs[:candidates], key=lambda cost: -cost.epoch)[: found.kept(rung)]
        spent += sum(cost.start + cost.epoch * epochs * (share - done) for cost in slowest)
        done = share
    if again:
        spent += slowest[0].start + again * epochs * slowest[0].epoch
    if joined:
        spent += slowest[0].start + wider * (slowest[0].storing + joined * slowest[0].epoch)
    return replace(found, seconds=spent)


def _shares(candidates: int, steps: int, last: float) -> tuple[float, ...]:
    """Of the full schedule, by rung: as many rungs as leave one candidate for the `last`."""
    rungs = 0 if candidates < 2 else 1 if candidates <= FACTOR else 2
    shares = [1 / FACTOR**rung for rung in range(rungs, 0, -1)]
    return (*(share for share in shares if share * steps >= LEAST and share < last), last)
