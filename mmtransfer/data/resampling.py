"""From one sample rate to another with soxr, whatever the two are, in memory that only the recording's length decides.

torchaudio's filter is as long as the lowest common multiple of the rates asks: gigabytes from 16,001 to 16,000 Hz.
"""

from __future__ import annotations

import numpy as np
import soxr
import torch
from torch import Tensor

_QUALITY = "HQ"
METHOD = f"soxr {soxr.__version__} {_QUALITY}"
"""What resampled samples depend on beside the rates."""


def resample(waveform: Tensor, own: int, rate: int) -> Tensor:
    """Samples (samples,) at `own` Hz -> (`resampled(samples, own, rate)`,) at `rate` Hz, float32."""
    if own == rate:
        return waveform
    # silence behind the end: the last sample that is wanted may start after the last one that is there
    followed = np.pad(waveform.numpy(), (0, own // rate + 1))
    return torch.from_numpy(soxr.resample(followed, own, rate, _QUALITY)[: resampled(len(waveform), own, rate)])


def resampled(samples: int, own: int, rate: int) -> int:
    """Samples after resampling: as many as start within the recording, ceil(samples * rate / own)."""
    return -(-samples * rate // own)
