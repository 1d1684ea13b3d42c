"""How far the speech of a recording stands above what else is in it, estimated without knowing either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmtransfer.data import audio
from mmtransfer.errors import MMTransferError

_SMOOTH = 5
"""Hops of 10 ms over which power is averaged: that of a voice comes and goes with each of its periods."""
_QUIET, _LOUD = 10, 95
"""Percentiles of power that stand for noise alone and for speech in noise."""
_LEAST = 1e-10
"""Power of the noise where there is none: 100 dB below full scale, less than a 16-bit file can tell."""


def signal_to_noise(recording: Mapping[str, Any]) -> float | None:
    """The estimate in dB, of a file or a segment of one; None where it is too short, silent or cannot be read.

    The power of speech is that of the loudest twentieth, less that of the noise; the noise's is that of the quietest
    tenth, so there must be pauses: a recording that is all speech is taken for noisier than it is. It is of use to
    compare recordings of one set with each other.
    """
    try:
        power, _ = audio.loudness(recording)
    except MMTransferError:
        return None
    return of_power(power)


def of_power(power: np.ndarray) -> float | None:
    """The same of the mean squares of every 10 ms, float (hops,).

    >>> round(of_power(np.repeat([1e-4, 1e-2], 50)), 1)  # 10 log10((1e-2 - 1e-4) / 1e-4)
    20.0
    """
    if len(power) < 2 * _SMOOTH:
        return None
    smooth = np.convolve(power, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
    noise, loud = (float(value) for value in np.percentile(smooth, [_QUIET, _LOUD]))
    noise = max(noise, _LEAST)
    return 10 * float(np.log10((loud - noise) / noise)) if loud > noise else None
