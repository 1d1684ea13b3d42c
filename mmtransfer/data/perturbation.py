"""Recordings changed at random in training: speed, gain, noise, bands of frequencies left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmtransfer.data.resampling import resample, resampled


@dataclass(frozen=True)
class Strength:
    """`speed`: slowest and fastest, in hundredths; `gain`: decibels up or down; `noise`: the least signal-to-noise
    ratio in decibels, the most is 40; `bands`: whether frequencies are left out."""

    speed: tuple[int, int]
    gain: float
    noise: float
    bands: bool


STRENGTHS = {"light": Strength((90, 110), 6.0, 20.0, False), "strong": Strength((80, 120), 12.0, 10.0, True)}


def perturb(waveform: Tensor, rate: int, strength: str, seed: int, enough: Callable[[int], bool]) -> Tensor:
    """Samples (samples,) -> samples of another length, a pure function of the arguments.

    Speed by resampling, which moves the pitch along (Ko et al. 2015); gain; in half of the cases white noise; with
    strong ones a band of up to an eighth of the spectrum left out, and in half of the cases what a telephone leaves out
    (Kharitonov et al. 2021; frequency masking of Park et al. 2019, on samples).

    `rate`: samples a second; `enough`: whether so many samples are enough for what is said in them; a recording is left
    at its own speed where faster ones are not.
    """
    kind = STRENGTHS[strength]
    # the second word keeps the draws apart from those of the mask, which has the same seed
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 1])))
    speed = int(random.integers(kind.speed[0], kind.speed[1] + 1))
    if speed != 100 and enough(resampled(len(waveform), speed, 100)):
        waveform = resample(waveform, speed, 100)
    if kind.bands:
        waveform = _without_bands(waveform, rate, random)
    waveform = waveform * 10 ** (random.uniform(-kind.gain, kind.gain) / 20)
    if random.random() < 0.5:
        ratio = 10 ** (-random.uniform(kind.noise, 40.0) / 20)
        noise = torch.from_numpy(random.standard_normal(len(waveform)).astype(np.float32))
        waveform = waveform + noise * (ratio * waveform.square().mean().sqrt())
    return waveform.contiguous()


def _without_bands(waveform: Tensor, rate: int, random: np.random.Generator) -> Tensor:
    spectrum = torch.fft.rfft(waveform)
    hertz = torch.linspace(0, rate / 2, len(spectrum))
    width = random.uniform(0, rate / 16)
    low = random.uniform(0, rate / 2 - width)
    kept = (hertz < low) | (hertz >= low + width)
    if random.random() < 0.5:
        kept &= (hertz >= random.uniform(0, 300)) & (hertz <= random.uniform(3000, max(3000, rate / 2)))
    return torch.fft.irfft(spectrum * kept, n=len(waveform))
