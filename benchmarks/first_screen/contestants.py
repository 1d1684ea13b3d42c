"""Who is measured: the points of the chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OURS, LOOP, PAIRS = "mmtransfer", "plain loop", "after SetFit"
DEFAULTS, BEST = "Trainer, defaults", "Trainer, at its best"


@dataclass(frozen=True)
class Contestant:
    """A point of the chart."""

    group: str
    """Whose it is: points of a group are joined."""
    about: str
    words: Sequence[str] = ()
    """Of `mmtransfer`, if it is ours."""
    peer: str = ""
    """Of peers.PEERS, if it is not."""
    settings: Mapping[str, int] = field(default_factory=dict)
    """The peer's, beside its rate; of ours, what it takes over from Trainer at its best beside that one's rate."""


CONTESTANTS: Mapping[str, Contestant] = {
    "probe": Contestant(OURS, "linear-probe", ("fit", "--strategy", "linear-probe")),
    "best-5": Contestant(BEST, "5 epochs", peer="trainer", settings={"epochs": 5}),
    "full": Contestant(OURS, "full", ("fit", "--strategy", "full")),
    "full-5": Contestant(OURS, "full, their rate", ("fit", "--strategy", "full"), settings={"epochs": 5}),
    "pairs-1": Contestant(PAIRS, "R = 1", peer="contrastive", settings={"rounds": 1}),
    "loop-3": Contestant(LOOP, "3 epochs", peer="loop", settings={"epochs": 3}),
    "auto": Contestant(OURS, "auto, 2 minutes", ("auto", "--max-minutes", "2")),
    "defaults-3": Contestant(DEFAULTS, "3 epochs", peer="trainer", settings={"epochs": 3}),
    "best-15": Contestant(BEST, "15 epochs", peer="trainer", settings={"epochs": 15}),
    "loop-8": Contestant(LOOP, "8 epochs", peer="loop", settings={"epochs": 8}),
    "pairs-3": Contestant(PAIRS, "R = 3", peer="contrastive", settings={"rounds": 3}),
    "defaults-6": Contestant(DEFAULTS, "6 epochs", peer="trainer", settings={"epochs": 6}),
}
