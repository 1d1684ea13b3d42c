"""Speech encoders of transformers as stages: CNN, projection, one per transformer layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from mmtransfer.backbones import convolution
from mmtransfer.backbones.attention import ATTENTION
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.text import library_name, mean, valid
from mmtransfer.errors import MMTransferError
from mmtransfer.registry import Registry

FILTER_LEVEL = 4.0
"""Norm of a filter of `filterbank`: so large that a step of AdamW moves it by little."""

FILTERBANK_FROM = 160
"""Taps (10 ms at 16 kHz) from which on a first convolution without weights starts as a filterbank."""

SPAN = 10
"""Frames of a masked span, at most half of the recording."""


class Convolutions(nn.Module):
    """Samples (batch, samples) -> frames (batch, frames, channels), each example independent of its padding.

    GroupNorm encoders take statistics over time, padding included (pytorch/audio#2242, huggingface/transformers#21534);
    here they are taken over each example's valid frames only.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.layers = extractor.conv_layers

    def forward(self, state: State, context: Context) -> State:
        x, lengths = state["x"][:, None], state["lengths"]
        for layer in self.layers:
            lengths = conv_lengths(lengths, layer.conv)
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                x = layer.activation(masked_group_norm(layer.conv(x), lengths, layer.layer_norm))
            else:
                x = layer(x)
        return {**state, "x": x.transpose(1, 2), "lengths": lengths}


def masked_group_norm(x: Tensor, frames: Tensor, norm: nn.GroupNorm) -> Tensor:
    """One group a channel, x (batch, channels, time): mean and variance over each example's first `frames` only."""
    mask = valid(frames, x.shape[2])[:, None]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = frames.clamp(min=1)[:, None, None]
    centred = wide - (wide * mask).sum(2, keepdim=True) / count
    variance = (centred.square() * mask).sum(2, keepdim=True) / count
    normal = centred * torch.rsqrt(variance + norm.eps)
    return (normal * norm.weight[:, None] + norm.bias[:, None]).to(x.dtype)


class Projection(nn.Module):
    """Channels -> width, masking in training, convolutional positions."""

    def __init__(self, model: Any, norm_first: bool) -> None:
        super().__init__()
        self.projection = model.feature_projection
        self.positions = model.encoder.pos_conv_embed
        self.norm = nn.Identity() if norm_first else model.encoder.layer_norm
        self.dropout = model.encoder.dropout
        self.masked = model.masked_spec_embed
        self.mask_prob = 0.0

    def forward(self, state: State, context: Context) -> State:
        x = self.projection(state["x"])
        x = x[0] if isinstance(x, tuple) else x  # Wav2Vec2 and WavLM give their quantiser's input beside it
        if self.training and self.mask_prob and "masked" in state:
            x = torch.where(as_wide(state["masked"], x)[..., None], self.masked.to(x.dtype), x)
        x = x * valid(state["lengths"], x.shape[1])[..., None]
        x = x + self._positions(x)
        return {**state, "x": self.dropout(self.norm(x))}

    def _positions(self, x: Tensor) -> Tensor:
        module = self.positions
        if not convolution.suits(x, module.conv):
            return cast(Tensor, module(x))
        found = module.padding(convolution.convolve(x.transpose(1, 2), module.conv))
        return cast(Tensor, module.activation(found)).transpose(1, 2)


def as_wide(mask: Tensor, x: Tensor) -> Tensor:
    """A mask of frames as wide as x (batch, frames, ...); nothing is masked behind its own width."""
    return nn.functional.pad(mask, (0, x.shape[1] - mask.shape[1]))


def span_mask(seeds: Tensor, lengths: Tensor, frames: int, probability: float) -> Tensor:
    """(batch, frames): masked frames, a pure function of each example's seed and length (Baevski et al. 2020, 4.2).

    Spans of min(10, frames // 2), none below 4 frames; `probability` is about the share of frames masked.
    """
    mask = np.zeros((len(seeds), frames), bool)
    for row, seed, length in zip(mask, seeds.tolist(), lengths.tolist(), strict=True):
        if length < 4:
            continue
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed])))
        span = min(SPAN, length // 2)
        count = int(probability * length / span + random.random())
        for start in random.integers(0, length - span + 1, count):
            row[start : start + span] = True
    return torch.from_numpy(mask)


class Layer(nn.Module):
    """One transformer layer under the mask of valid frames; the last of a pre-norm encoder ends with its norm."""

    def __init__(self, layer: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm if norm is not None else nn.Identity()

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.norm(self.layer(state["x"], attention_mask=context["mask"]))}


class RelativeLayer(Layer):
    """A layer of WavLM, whose attention adds a bias by relative position."""

    def forward(self, state: State, context: Context) -> State:
        x = self.layer(state["x"], attention_mask=context["mask"], position_bias=context["bias"])[0]
        return {**state, "x": self.norm(x)}


class Wav2Vec2Backbone(Backbone):
    """Wav2Vec2 (Baevski et al. 2020), group or layer norm, post- or pre-norm. Layer drop is 0, masking our own."""

    modality = "speech"
    library = "Wav2Vec2Model"
    attention: ClassVar[str | None] = ATTENTION
    options: ClassVar[Mapping[str, Any]] = {}
    layer: ClassVar[type[Layer]] = Layer
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")
    heads = ("lm_head.", "classifier.", "projector.", "quantizer.", "project_q.", "project_hid.", "adapter.")

    def __init__(self, model: Any) -> None:
        config = model.config
        if not hasattr(model, "masked_spec_embed"):
            # the library makes it only where its configuration masks; here masking is switched on later as well
            model.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        norm_first = bool(config.do_stable_layer_norm)
        layers = [self.layer(layer) for layer in model.encoder.layers]
        if norm_first:
            layers[-1] = self.layer(model.encoder.layers[-1], model.encoder.layer_norm)
        super().__init__([Convolutions(model.feature_extractor), Projection(model, norm_first), *layers], model)
        self.family, self.config, self.width = config.model_type, config.to_dict(), int(config.hidden_size)
        self.library, self.prefix = type(model).__name__, model.base_model_prefix
        self.preprocess = {"sample_rate": 16000, "normalise": True}
        self.mask_prob = float(config.mask_time_prob) if config.apply_spec_augment else 0.0

    def own_name(self, name: str) -> str:
        return library_name(name, self.prefix)

    @property
    def mask_prob(self) -> float:
        """Share of the frames masked in training; 0 leaves the mask's embedding without gradient."""
        return self._projection.mask_prob

    @mask_prob.setter
    def mask_prob(self, probability: float) -> None:
        self._projection.mask_prob = probability
        self._settle()

    @property
    def _projection(self) -> Projection:
        return cast(Projection, self.stages[1])

    def _settle(self) -> None:
        # DDP stops at parameters that get no gradient, which this one is while nothing is masked
        trains = self.mask_prob > 0 and self._whole and 1 not in self._frozen
        self._projection.masked.requires_grad_(trains)

    def context(self, state: State, start: int) -> Context:
        lengths, x = state["lengths"], state["x"]
        frames = x.shape[1]
        if start == 0:
            lengths = self.lengths(lengths)
            frames = int(self.lengths(torch.tensor([frames]))[0])
        return {"mask": valid(lengths, frames)[:, None, None, :]}

    def pool(self, state: State) -> Tensor:
        """The mean over the valid frames; CTC reads the frames themselves."""
        return mean(state)

    def lengths(self, input_lengths: Tensor) -> Tensor:
        """Frames from samples, by the encoder's own formula."""
        for layer in cast(Convolutions, self.stages[0]).layers:
            input_lengths = conv_lengths(input_lengths, layer.conv)
        return input_lengths


class HubertBackbone(Wav2Vec2Backbone):
    """HuBERT (Hsu et al. 2021): Wav2Vec2's network, trained on clusters."""

    library = "HubertModel"

    def __init__(self, model: Any) -> None:
        if model.encoder.pos_conv_embed.batch_norm is not None:
            raise MMTransferError(
                "HuBERT with BatchNorm before its convolutional positions would hear the padding of a batch",
                "conv_pos_batch_norm in config.json",
                "choose another checkpoint",
            )
        super().__init__(model)


class WavLMBackbone(Wav2Vec2Backbone):
    """WavLM (Chen et al. 2022). Its first layer owns the bias by relative position that all layers gate."""

    library = "WavLMModel"
    attention = "eager"
    targets = ("intermediate_dense", "output_dense")  # its attention reads weights past the layers that hold them
    layer = RelativeLayer

    def context(self, state: State, start: int) -> Context:
        mask = super().context(state, start)["mask"][:, 0, 0]
        bias = cast(Any, self.stages[2]).layer.attention.compute_bias(mask.shape[1], mask.shape[1])
        return {"mask": mask, "bias": bias.repeat(len(mask), 1, 1)}


def filterbank(conv: nn.Conv1d, rate: int = 16_000) -> None:
    """Sets a long first convolution to a mel filterbank, still to be trained (after Zeghidour et al. 2018).

    Four channels a band: Gabor wavelets at 0, 90, 180 and 270 degrees, whose sum behind a rectifier does not depend on
    the phase. The level rises with the frequency as that of speech falls. The biases, a tenth of the level of speech,
    keep the layer norm that follows from blowing up silence.
    """
    channels, _, taps = conv.weight.shape
    bands = channels // 4
    mel = torch.linspace(math.log1p(60 / 700), math.log1p(0.47 * rate / 700), bands + 1)
    edges = 700 * torch.expm1(mel)
    centres, spacing = (edges[1:] + edges[:-1]) / 2, edges[1:] - edges[:-1]
    # a wavelet neither outlasts the window nor leaves gaps between hops
    width = (1 / (2 * math.pi * 0.6 * spacing)).clamp(0.4 * conv.stride[0] / rate, 0.2 * taps / rate)
    time = (torch.arange(taps) - (taps - 1) / 2) / rate
    envelope = torch.exp(-0.5 * (time / width[:, None]) ** 2)
    phase = 2 * math.pi * centres[:, None] * time
    waves = torch.stack([torch.cos(phase), torch.sin(phase), -torch.cos(phase), -torch.sin(phase)], 1)
    filters = waves * envelope[:, None]
    level = (centres / 500).clamp(1, 8)[:, None, None]
    filters = FILTER_LEVEL * level * filters / filters.norm(dim=2, keepdim=True).clamp(min=1e-6)
    with torch.no_grad():
        conv.weight[: 4 * bands, 0] = filters.flatten(0, 1)
        if conv.bias is not None:
            conv.bias.zero_()
            signs = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(bands // 2)
            conv.bias[: 4 * bands] = 0.1 * FILTER_LEVEL * signs.repeat_interleave(2)[: 4 * bands]


def conv_lengths(lengths: Tensor, conv: nn.Conv1d) -> Tensor:
    """Outputs of an unpadded convolution, 0 where the input is shorter than its kernel."""
    return (torch.div(lengths - conv.kernel_size[0], conv.stride[0], rounding_mode="floor") + 1).clamp(min=0)


FAMILIES: Registry[type[Wav2Vec2Backbone]] = Registry("speech family", "--backbone")
"""By `model_type` of a transformers configuration."""
FAMILIES.add("wav2vec2", Wav2Vec2Backbone)
FAMILIES.add("hubert", HubertBackbone)
FAMILIES.add("wavlm", WavLMBackbone)

_SHAPE: Mapping[str, Any] = {
    "hidden_size": 192,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 64,
    "num_conv_pos_embedding_groups": 16,
    "conv_bias": True,
    "layerdrop": 0.0,
    "vocab_size": 32,
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "wav2vec2-small": {**_SHAPE, "conv_dim": (128, 128, 128, 128, 128, 128, 128)},
    "wav2vec2-fast": {
        **_SHAPE,
        "conv_dim": (256, 192, 192),
        "conv_kernel": (320, 3, 3),
        "conv_stride": (80, 2, 2),
        "hidden_dropout": 0.05,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    },
}
"""Named shapes without weights: keyword arguments of Wav2Vec2Config."""

__all__ = [
    "FAMILIES",
    "SHAPES",
    "HubertBackbone",
    "Wav2Vec2Backbone",
    "WavLMBackbone",
    "as_wide",
    "conv_lengths",
    "filterbank",
    "masked_group_norm",
    "span_mask",
]
