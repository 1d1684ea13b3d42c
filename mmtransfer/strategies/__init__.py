"""What is trained, and when, as data. A new strategy: a class under `@strategy(NAME)` in one of these files."""

from mmtransfer.strategies.base import STRATEGIES, Strategy, make, name_of
from mmtransfer.strategies.phase import Exact, Loop, Phase, Rates, Selection, stages_of
from mmtransfer.strategies.probe import PROBE_LR, LinearProbe, ProbeThenFull
from mmtransfer.strategies.tuning import BitFit, Full, Norm, Partial, Scratch

__all__ = [
    "PROBE_LR",
    "STRATEGIES",
    "BitFit",
    "Exact",
    "Full",
    "LinearProbe",
    "Loop",
    "Norm",
    "Partial",
    "Phase",
    "ProbeThenFull",
    "Rates",
    "Scratch",
    "Selection",
    "Strategy",
    "make",
    "name_of",
    "stages_of",
]
