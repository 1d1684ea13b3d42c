"""Deep Speech as stages, an architecture without weights: nobody has published a checkpoint of torchaudio's.

It is here as the plain recurrent network that the pretrained encoders are measured against: train it from scratch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mmtransfer.backbones.speech import as_wide
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.text import mean, valid
from mmtransfer.errors import MMTransferError

NAME = "deepspeech"
RATE, WINDOW, HOP, BANDS = 16000, 400, 160, 80
"""Samples a second; samples of a window and between two; mel bands."""
CONTEXT = 5
"""Frames on each side that a frame is seen with."""
CONFIG = {"n_hidden": 2048, "dropout": 0.1}
"""torchaudio's size; the paper drops 5 to 10 % of the units."""


class Spectrogram(nn.Module):
    """Samples (batch, samples) -> log-mel frames with their neighbours (batch, frames, (2 CONTEXT + 1) BANDS).

    Windows of 25 ms every 10 ms, all of them inside the recording; each band has mean 0 and variance 1 over the frames
    of its recording. Masked frames are 0 in training.
    """

    def __init__(self) -> None:
        super().__init__()
        melscale_fbanks = _torchaudio("functional").melscale_fbanks
        self.window = nn.Buffer(torch.hann_window(WINDOW), persistent=False)
        self.bands = nn.Buffer(melscale_fbanks(WINDOW // 2 + 1, 0.0, RATE / 2, BANDS, RATE), persistent=False)
        self.mask_prob = 0.0

    def forward(self, state: State, context: Context) -> State:
        with torch.autocast(state["x"].device.type, enabled=False):  # a Fourier transform has no bfloat16 kernel
            spectrum = torch.fft.rfft(state["x"].unfold(1, WINDOW, HOP) * self.window)
            x = torch.log(spectrum.abs().square() @ self.bands + 1e-6)
        lengths = frames_of(state["lengths"])
        mask = valid(lengths, x.shape[1])[..., None]
        x = normalised(x, mask, lengths)
        if self.training and self.mask_prob and "masked" in state:
            x = x.masked_fill(as_wide(state["masked"], x)[..., None], 0.0)
        x = nn.functional.pad(x, (0, 0, CONTEXT, CONTEXT)).unfold(1, 2 * CONTEXT + 1, 1).flatten(2)
        return {**state, "x": x, "lengths": lengths}


def frames_of(samples: Tensor) -> Tensor:
    """Windows that lie inside a recording."""
    return (torch.div(samples - WINDOW, HOP, rounding_mode="floor") + 1).clamp(min=0)


def normalised(x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the frames in `mask`; 0 outside of it."""
    count = lengths.clamp(min=1)[:, None, None]
    centred = (x - (x * mask).sum(1, keepdim=True) / count) * mask
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + 1e-5)


class Dense(nn.Module):
    """A layer on each frame."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.layer(state["x"])}


class Recurrent(nn.Module):
    """The layer in both directions, which are added; the backward one starts at each recording's own end."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: State, context: Context) -> State:
        x, frames = state["x"], state["lengths"].clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, frames, batch_first=True, enforce_sorted=False)
        found, _ = nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=x.shape[1])
        forward, backward = found.chunk(2, -1)
        return {**state, "x": forward + backward}


class DeepSpeechBackbone(Backbone):
    """Deep Speech (Hannun et al. 2014) as torchaudio builds it: spectrogram, three layers, a recurrent one, a fifth.

    There is no official checkpoint: its weights are random, or the user's own file.
    """

    modality = "speech"
    heads = ("out.",)
    recordable = False  # lengths of the frames are packed on the host

    def __init__(self, **config: Any) -> None:
        model = _torchaudio("models").DeepSpeech(n_feature=BANDS * (2 * CONTEXT + 1), n_class=1, **config)
        layers = [Dense(model.fc1), Dense(model.fc2), Dense(model.fc3), Recurrent(model.bi_rnn), Dense(model.fc4)]
        super().__init__([Spectrogram(), *layers], model)
        self.name = self.family = NAME
        self.config, self.width, self.source = config, model.n_hidden, "random weights"
        self.preprocess = {"sample_rate": RATE, "normalise": True}

    @property
    def mask_prob(self) -> float:
        """Share of the frames that are 0 in training."""
        return self.stages[0].mask_prob  # type: ignore[return-value]

    @mask_prob.setter
    def mask_prob(self, probability: float) -> None:
        self.stages[0].mask_prob = probability  # type: ignore[assignment]

    def pool(self, state: State) -> Tensor:
        """The mean over the valid frames; CTC reads the frames themselves."""
        return mean(state)

    def lengths(self, input_lengths: Tensor) -> Tensor:
        return frames_of(input_lengths)


def _torchaudio(part: str) -> ModuleType:
    """A module of torchaudio, which nothing else here needs; MMTransferError if it is not there."""
    try:
        return importlib.import_module(f"torchaudio.{part}")
    except (ImportError, RuntimeError, OSError) as error:
        raise MMTransferError(
            f"Deep Speech is torchaudio's, which cannot be imported ({str(error).splitlines()[0]})",
            f"--backbone {NAME}",
            "pip install torchaudio (constraints.txt has the version for each torch), or choose another backbone",
        ) from error
