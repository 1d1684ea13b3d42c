"""What rooms, microphones and telephones do to a recording, on one waveform, float32 (samples,) at 16 kHz."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
from scipy import fft, signal

Random = np.random.Generator
RATE = 16_000


class Degrader:
    """Speed, room, band, noise, clipping and level, drawn anew for each recording; babble is of the ones before."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.before: deque[np.ndarray] = deque(maxlen=40)

    def __call__(self, speech: np.ndarray, rate: int) -> np.ndarray:
        """`speech` (samples,) at `rate` Hz -> another length at 16 kHz, within -1..1."""
        random = self.random
        wave = resample(speech, rate, float(random.uniform(0.85, 1.15)))
        wave = np.concatenate([np.zeros(self._silence(), np.float32), wave, np.zeros(self._silence(), np.float32)])
        wave = self._filtered(wave)
        self.before.append(wave)
        if random.random() < 0.85:
            noise = self._noise(len(wave))
            loud = np.mean(wave[np.abs(wave) > 0.05 * np.abs(wave).max()] ** 2) if wave.any() else 1.0
            ratio = 10 ** (-random.uniform(5, 35) / 20)
            wave = wave + noise * np.float32(ratio * np.sqrt(loud / (np.mean(noise**2) + 1e-12)))
        peak = float(np.abs(wave).max()) + 1e-9
        if random.random() < 0.1:
            wave = np.clip(wave, -peak * random.uniform(0.3, 0.8), peak * random.uniform(0.3, 0.8))
        return (wave * np.float32(random.uniform(0.1, 0.95) / peak)).astype(np.float32)

    def _silence(self) -> int:
        """Samples before or after: mostly up to 0.3 s, some a second."""
        return int(
            RATE * (self.random.uniform(0.3, 1.0) if self.random.random() < 0.1 else self.random.uniform(0.02, 0.3))
        )

    def _filtered(self, wave: np.ndarray) -> np.ndarray:
        """Reverberation, a tilted and bumpy frequency response, and a band limit, in one pass through the spectrum."""
        random = self.random
        room = random.random() < 0.5
        size = fft.next_fast_len(len(wave) + (RATE // 2 if room else 0), real=True)
        spectrum = fft.rfft(wave, size)
        frequency = np.linspace(0, RATE / 2, len(spectrum), dtype=np.float32)
        octaves = np.log2(np.maximum(frequency, 50) / 1000)
        decibels = random.uniform(-4, 4) * octaves
        knots = np.sort(random.uniform(-4.3, 3, 5))
        decibels = decibels + np.interp(octaves, knots, random.normal(0, 3, 5))
        spectrum = spectrum * 10 ** (decibels.astype(np.float32) / 20)
        if room:
            spectrum = spectrum * fft.rfft(self._impulse(), size)
        kind = random.random()
        if kind < 0.2:
            low, high = (300, 3400) if random.random() < 0.6 else (random.uniform(100, 400), random.uniform(3000, 4500))
            spectrum = spectrum * _band(frequency, low, high)
        elif kind < 0.4:
            spectrum = spectrum * _band(frequency, 30, 3900)
        else:
            spectrum = spectrum * _band(frequency, random.uniform(20, 120), random.uniform(5500, 8000))
        return fft.irfft(spectrum, size)[: len(wave)].astype(np.float32)

    def _impulse(self) -> np.ndarray:
        """Noise that decays by 60 dB in 0.1 to 0.6 s (Polack's model), 0 to 15 dB below the direct path."""
        random = self.random
        decay = random.uniform(0.1, 0.6)
        time = np.arange(int(RATE * min(decay, 0.5)), dtype=np.float32) / RATE
        tail = random.standard_normal(len(time), dtype=np.float32) * 10 ** (-3 * time / decay)
        tail[: int(RATE * random.uniform(0.001, 0.01))] = 0
        tail *= 10 ** (-random.uniform(0, 15) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1
        return tail

    def _noise(self, count: int) -> np.ndarray:
        """Noise of slope 0 to -6 dB an octave (white, pink, brown and between), or the recordings before at once."""
        random = self.random
        if random.random() < 0.25 and len(self.before) > 8:
            total = np.zeros(count, np.float32)
            for _ in range(int(random.integers(2, 6))):
                other = self.before[int(random.integers(len(self.before) - 1))]
                total += np.resize(np.roll(other, int(random.integers(len(other)))), count)
            return total
        size = fft.next_fast_len(count, real=True)
        spectrum = fft.rfft(random.standard_normal(size, dtype=np.float32))
        slope = np.maximum(np.arange(len(spectrum), dtype=np.float32), 1) ** np.float32(-random.uniform(0, 1))
        return fft.irfft(spectrum * slope, size)[:count].astype(np.float32)


def resample(speech: np.ndarray, rate: int, speed: float = 1.0) -> np.ndarray:
    """To 16 kHz, faster (and higher) by `speed`."""
    ratio = Fraction(RATE / (rate * speed)).limit_denominator(160)
    return signal.resample_poly(speech, ratio.numerator, ratio.denominator).astype(np.float32)


def _band(frequency: np.ndarray, low: float, high: float) -> np.ndarray:
    """Gain 1 between `low` and `high` Hz, falling as a Butterworth filter outside."""
    return (1 / np.sqrt((1 + (frequency / high) ** 16) * (1 + (low / np.maximum(frequency, 1)) ** 8))).astype(
        np.float32
    )
