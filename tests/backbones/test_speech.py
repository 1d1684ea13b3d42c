"""Masking as a pure function of seeds; frames by the encoder's own formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mmtransfer import backbones
from mmtransfer.backbones import convolution
from mmtransfer.backbones.deepspeech import CONTEXT, DeepSpeechBackbone, normalised
from mmtransfer.backbones.speech import masked_group_norm, span_mask


def test_masks_are_a_pure_function_of_seed_and_length() -> None:
    seeds, lengths = torch.tensor([5, 6, 7]), torch.tensor([50, 80, 30])
    mask = span_mask(seeds, lengths, 80, 0.3)
    order = torch.tensor([2, 0, 1])
    assert torch.equal(mask[order], span_mask(seeds[order], lengths[order], 100, 0.3)[:, :80])
    assert not torch.equal(mask, span_mask(seeds + 1, lengths, 80, 0.3))
    for row, length in zip(mask, lengths, strict=True):
        assert not row[length:].any()


def test_masks_of_short_recordings() -> None:
    seeds = torch.arange(200)
    assert not span_mask(seeds, torch.full((200,), 3), 3, 1.0).any()
    four = span_mask(seeds, torch.full((200,), 4), 4, 0.5)
    assert set(four.sum(1).tolist()) <= {0, 2, 3, 4} and four.any()


def test_the_share_of_masked_frames() -> None:
    seeds = torch.arange(2000)
    share = span_mask(seeds, torch.full((2000,), 100), 100, 0.065).float().mean().item()
    assert abs(share - 0.063) < 0.005  # spans overlap now and then


def test_frames_by_the_formula() -> None:
    backbone = backbones.load("wav2vec2-small")
    samples = torch.tensor([0, 9, 399, 400, 719, 720, 16000, 123457])
    frames = samples
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        frames = torch.from_numpy(np.maximum((frames.numpy() - kernel) // stride + 1, 0))
    assert backbone.lengths(samples).tolist() == frames.tolist()
    assert backbone.lengths(samples).tolist()[2:7] == [0, 1, 1, 2, 49]


def test_positions_in_training_are_those_of_passes_that_train_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    called, convolve = [], convolution.convolve
    monkeypatch.setattr(convolution, "convolve", lambda *given: called.append(1) or convolve(*given))
    torch.manual_seed(0)
    stage = backbones.load("wav2vec2-fast").eval().stages[1]
    state = {"x": torch.randn(2, 150, 192), "lengths": torch.tensor([150, 90])}
    trained = stage(state, {})["x"]
    with torch.no_grad():
        torch.testing.assert_close(trained.detach(), stage(state, {})["x"], rtol=1e-4, atol=1e-5)
    assert called == [1]


def test_group_norm_without_padding_is_the_library_s() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 4)
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 4, 50)
    torch.testing.assert_close(masked_group_norm(x, torch.tensor([50, 50]), norm), norm(x))
    padded = masked_group_norm(torch.cat([x, torch.randn(2, 4, 9)], 2), torch.tensor([50, 50]), norm)
    torch.testing.assert_close(padded[..., :50], norm(x))


def test_a_long_first_convolution_starts_as_a_filterbank() -> None:
    conv = backbones.load("wav2vec2-fast").stages[0].layers[0].conv
    time, level = torch.arange(1600) / 16000, {}
    for tone in (200.0, 700.0, 2500.0, 6000.0):
        for phase in (0.0, 1.0):
            wave = torch.sin(2 * torch.pi * tone * time + phase)
            with torch.no_grad():
                found = (conv(wave[None, None])[0] - conv.bias[:, None]).reshape(64, 4, -1)
            # four phases behind a square: what is left is the level of the band
            level[tone, phase] = found.square().sum(1).mean(1)
    for tone in (200.0, 700.0, 2500.0, 6000.0):
        loudest = level[tone, 0.0].argmax()
        torch.testing.assert_close(level[tone, 0.0][loudest], level[tone, 1.0][loudest], rtol=0.02, atol=0)
    bands = [int(level[tone, 0.0].argmax()) for tone in (200.0, 700.0, 2500.0, 6000.0)]
    assert bands == sorted(set(bands)) and bands[0] < 8 and bands[-1] > 55
    again = backbones.load("wav2vec2-fast").stages[0].layers[0].conv
    assert torch.equal(conv.weight, again.weight)


def test_a_short_first_convolution_is_random() -> None:
    stems = [backbones.load("wav2vec2-small").stages[0].layers[0].conv.weight for _ in range(2)]
    assert not torch.equal(*stems)


def test_deepspeech_masks_whole_frames_in_training_only() -> None:
    backbone = DeepSpeechBackbone(n_hidden=8)
    state = {"x": torch.randn(1, 8000), "lengths": torch.tensor([8000])}

    def centre() -> torch.Tensor:
        return backbone.run(state, 0, 1)["x"].unflatten(2, (80, 2 * CONTEXT + 1))[0, :, :, CONTEXT]

    whole = centre()
    assert not (whole == 0).all(1).any()
    backbone.mask_prob, state["masked"] = 0.5, span_mask(torch.tensor([3]), torch.tensor([48]), 48, 0.5)
    masked = (centre() == 0).all(1)
    assert torch.equal(masked, state["masked"][0]) and masked.any()
    assert torch.equal(backbone.eval().run(state, 0, 1)["x"][0].unflatten(1, (80, -1))[..., CONTEXT], whole)
    short = {"x": state["x"], "lengths": torch.tensor([4000])}
    frames = backbone.run(short)["x"]
    torch.testing.assert_close(backbone.pool(backbone.run(short)), frames[:, :23].mean(1))


def test_bands_are_normalised_over_their_own_recording() -> None:
    x, lengths = torch.randn(2, 50, 4) * 3 + 7, torch.tensor([50, 20])
    mask = (torch.arange(50) < lengths[:, None])[..., None]
    found = normalised(x, mask, lengths)
    torch.testing.assert_close(found[1, :20].mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1, :20].std(0, correction=0), torch.ones(4), rtol=1e-4, atol=0)
    assert not found[1, 20:].any()
