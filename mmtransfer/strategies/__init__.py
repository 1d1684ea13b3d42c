"""What is trained, and when, as data. A new strategy: a class under `@strategy(NAME)` in one of these files."""

from mmtransfer.strategies.base import STRATEGIES, Strategy, make, name_of
from mmtransfer.strategies.phase import Adapters, Anchor, Exact, Loop, Phase, Rates, Selection, stages_of
from mmtransfer.strategies.probe import PROBE_LR, LinearProbe, ProbeThenFull, ProbeThenMix
from mmtransfer.strategies.tuning import L2SP, BitFit, Full, Gradual, Norm, Partial, Scratch
from mmtransfer.strategies.updates import DoRA, LoRA

__all__ = [
    "L2SP",
    "PROBE_LR",
    "STRATEGIES",
    "Adapters",
    "Anchor",
    "BitFit",
    "DoRA",
    "Exact",
    "Full",
    "Gradual",
    "LinearProbe",
    "LoRA",
    "Loop",
    "Norm",
    "Partial",
    "Phase",
    "ProbeThenFull",
    "ProbeThenMix",
    "Rates",
    "Scratch",
    "Selection",
    "Strategy",
    "make",
    "name_of",
    "stages_of",
]
