"""Perturbed recordings: pure functions of the seed, lengths within bounds, never too short for their labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtransfer.data.perturbation import STRENGTHS, perturb

RATE = 16_000


def sound(samples: int = 4000) -> torch.Tensor:
    time = torch.arange(samples) / RATE
    return 0.3 * torch.sin(2 * torch.pi * 440 * time) + 0.1 * torch.sin(2 * torch.pi * 5000 * time)


def always(_: int) -> bool:
    return True


@pytest.mark.parametrize("strength", STRENGTHS)
def test_it_is_a_pure_function_that_leaves_global_randomness_alone(strength):
    torch.manual_seed(0)
    np.random.seed(0)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = perturb(sound(), RATE, strength, 7, always)
    torch.rand(3)
    assert torch.equal(first, perturb(sound(), RATE, strength, 7, always))
    torch.manual_seed(0)
    perturb(sound(), RATE, strength, 8, always)
    assert torch.equal(before, torch.get_rng_state()) and np.array_equal(numbers, np.random.get_state()[1])
    assert len({perturb(sound(), RATE, strength, seed, always)[100].item() for seed in range(20)}) == 20


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("samples", [1, 17, 4001])
def test_lengths_keep_the_bounds(strength, samples):
    kind = STRENGTHS[strength]
    lengths = [len(perturb(sound(samples), RATE, strength, seed, always)) for seed in range(60)]
    slowest, fastest = kind.speed
    assert max(lengths) <= np.ceil(samples * 100 / slowest) and min(lengths) >= samples * 100 // fastest
    if samples > 1000:
        assert len(set(lengths)) > 15 and max(lengths) > samples > min(lengths)


def test_speed_moves_the_pitch():
    for seed in range(40):
        made = perturb(sound(16_000), RATE, "light", seed, always)
        peak = float(torch.fft.rfft(made).abs().argmax()) * RATE / len(made)
        assert peak == pytest.approx(440 * 16_000 / len(made), rel=0.01)


def test_a_recording_is_not_sped_up_beyond_what_its_labels_allow():
    for seed in range(60):
        made = perturb(sound(), RATE, "strong", seed, lambda samples: samples >= 4000)
        assert len(made) >= 4000
    assert {len(perturb(sound(), RATE, "strong", seed, lambda _: False)) for seed in range(20)} == {4000}


def test_gain_and_noise_keep_their_bounds():
    quiet = torch.zeros(2000)
    assert all(not perturb(quiet, RATE, "light", seed, always).any() for seed in range(10))
    for seed in range(40):
        made = perturb(sound(), RATE, "light", seed, lambda _: False)
        gain = float(made @ sound() / sound().square().sum())
        noise = made - gain * sound()
        assert -6.1 < 20 * np.log10(gain) < 6.1
        assert float(noise.square().mean() / (gain * sound()).square().mean()) < 10 ** (-20 / 10) * 1.2


def test_strong_ones_leave_out_bands_and_light_ones_none():
    white = torch.from_numpy(np.random.default_rng(0).standard_normal(8000).astype(np.float32))

    def silent(strength: str, seed: int) -> float:
        power = torch.fft.rfft(perturb(white, RATE, strength, seed, lambda _: False)).abs()
        return float((power < 0.2 * power.median()).float().mean())

    assert max(silent("light", seed) for seed in range(20)) < 0.06
    assert max(silent("strong", seed) for seed in range(20)) > 0.3
