"""Random numbers as pure functions of (root seed, stream, numbers): nothing to store, nothing to restore.

Each stream is independent of the others, so that asking for another split does not change the head's first weights.
Philox is counter-based (Salmon et al. 2011); its key holds two words only, hence the SeedSequence.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Stream = Literal["split", "head", "order", "augment", "dropout", "backbone", "adapters", "mixture"]
STREAMS: dict[Stream, int] = {
    "split": 1,
    "head": 2,
    "order": 3,
    "augment": 4,
    "dropout": 5,
    "backbone": 6,
    "adapters": 7,
    "mixture": 8,
}


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """A NumPy generator for this place of this stream."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, STREAMS[stream], *numbers])))


def number(seed: int, stream: Stream, *numbers: int) -> int:
    """A 63-bit seed (for `torch.manual_seed`) for this place of this stream."""
    words = np.random.SeedSequence([seed, STREAMS[stream], *numbers]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def identity(name: str) -> int:
    """The number of an example's id: the same in every process and version of Python."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
