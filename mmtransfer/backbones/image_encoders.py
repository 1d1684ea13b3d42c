"""Image encoders of transformers as stages: patches, then a stage a layer. A family is a class of about 15 lines.

Pictures are squares of any side: learned positions are interpolated where a picture has more or fewer patches than the
weights were trained on, as the library does it. Features are what the family's own classifier reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmtransfer.backbones.attention import ATTENTION
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.text import library_name
from mmtransfer.registry import Registry


class Patches(nn.Module):
    """Pixels (batch, 3, side, side) -> patches: (batch, tokens, width), of ConvNeXt (batch, width, rows, columns).

    `norm`: what the library has behind its embeddings; `options`: keyword arguments of theirs.
    """

    def __init__(self, embeddings: nn.Module, norm: nn.Module | None = None, **options: Any) -> None:
        super().__init__()
        self.embeddings, self.norm, self.options = embeddings, norm or nn.Identity(), options

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.norm(self.embeddings(state["x"], **self.options))}


class Layer(nn.Module):
    """One layer on every patch; `norm`: what the library has behind its last layer."""

    def __init__(self, layer: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm or nn.Identity()

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.norm(self.layer(state["x"], **context))}


class AttentionPooling(nn.Module):
    """SigLIP's pooling by one learned query: (batch, patches, width) -> (batch, width).

    torch's own module transposes its input, and what its linear layers then compute depends, in the last digits, on
    whether they are trained: a run would not be to the bit what is read from its folder.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, state: State, context: Context) -> State:
        x, attention = state["x"], self.head.attention
        inputs = (self.head.probe, x, x)
        layers = zip(inputs, attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
        query, key, value = (
            functional.linear(*parts).unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for parts in layers
        )
        pooled = functional.scaled_dot_product_attention(query.expand(len(x), -1, -1, -1), key, value)
        x = attention.out_proj(pooled.transpose(1, 2).flatten(1))
        return {**state, "x": x + self.head.mlp(self.head.layernorm(x))}


def _layers(layers: nn.ModuleList, norm: nn.Module | None = None, kind: type[Layer] = Layer) -> list[nn.Module]:
    return [*map(kind, layers[:-1]), kind(layers[-1], norm)]


TARGETS: tuple[str, ...] = (
    "query",
    "key",
    "value",
    "dense",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "out_proj",
    "fc1",
    "fc2",
)
TARGETS += ("gate_proj", "up_proj", "down_proj", "pwconv1", "pwconv2")
"""The linear layers of attention and MLP, as versions of the library have called them."""


class ImageBackbone(Backbone):
    """Base of the families. `preprocess`: mean and std, from the checkpoint's processor; `image_size` and `crop_pct`
    that it was published with; `smallest_size`: pixels of a side below which the last layers cannot work."""

    modality = "image"
    own_crop = True
    attention: ClassVar[str | None] = ATTENTION
    """The library's attention; None where a family has none."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Keyword arguments of the library's class beside the configuration."""
    heads: tuple[str, ...] = ("classifier.",)
    targets: tuple[str, ...] = TARGETS
    leftovers: ClassVar[tuple[str, ...]] = ("position_ids", "relative_position_index")
    """Endings of tensors in old files that are computed today."""

    def __init__(self, model: Any, stages: list[nn.Module], smallest: int, width: int) -> None:
        super().__init__(stages, model)
        self.family, self.config = model.config.model_type, model.config.to_dict()
        self.library, self.prefix = type(model).__name__, model.base_model_prefix
        self.width = width
        self.preprocess = {"image_size": _side(model.config.image_size), "crop_pct": 1.0, "smallest_size": smallest}
        self._renamings = _renamings(model)
        self._settle()

    def own_name(self, name: str) -> str:
        name = library_name(name, self.prefix)
        for renaming in self._renamings:
            name = renaming.rename_source_key(name)[0]
        return name

    def is_head(self, name: str) -> bool:
        return super().is_head(name) or name.endswith(self.leftovers)

    def load_library_state(self, state: Mapping[str, Tensor], where: str) -> None:
        # the library has renamed tensors of these families from version to version; a run may be older than it
        super().load_library_state({self.own_name(name): value for name, value in state.items()}, where)

    def _settle(self) -> None:
        # only the library's pretraining fills masked patches in; DDP stops at parameters that get no gradient
        for name, parameter in self.stages[0].named_parameters():
            if name.endswith("mask_token"):
                parameter.requires_grad_(False)


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])


def _renamings(model: Any) -> list[Any]:
    """The library's table of a family's tensors in published checkpoints and their names in its model."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    return list(get_model_conversion_mapping(model))


class ViTBackbone(ImageBackbone):
    """ViT (Dosovitskiy et al. 2021). Features are the class token's; the pooler, which no classifier reads, is not
    built."""

    library = "ViTModel"
    options = {"add_pooling_layer": False}
    heads = ("classifier.", "pooler.", "decoder.", "embeddings.mask_token")

    def __init__(self, model: Any) -> None:
        patches = Patches(model.embeddings, interpolate_pos_encoding=True)
        layers = _layers(model.layers, model.layernorm)
        super().__init__(model, [patches, *layers], _side(model.config.patch_size), model.config.hidden_size)

    def pool(self, state: State) -> Tensor:
        return state["x"][:, 0]


class Dinov2Backbone(ImageBackbone):
    """DINOv2 (Oquab et al. 2023). Features are the class token beside the mean over the patches: twice the width."""

    library = "Dinov2Model"

    def __init__(self, model: Any) -> None:
        layers = _layers(model.encoder.layer, model.layernorm)
        config = model.config
        super().__init__(model, [Patches(model.embeddings), *layers], _side(config.patch_size), 2 * config.hidden_size)

    def pool(self, state: State) -> Tensor:
        return torch.cat([state["x"][:, 0], state["x"][:, 1:].mean(1)], 1)


class Dinov3Patches(Patches):
    """DINOv3's patches, and the frequencies of the rotary positions that its layers share."""

    def __init__(self, model: Any) -> None:
        super().__init__(model.embeddings)
        self.rotary, self.patch = model.rope_embeddings, _side(model.config.patch_size)
        self.others = 1 + int(model.config.num_register_tokens)

    def rotations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (patches, head width) for pixels or for the tokens of a square picture."""
        rows = x.shape[-1] // self.patch if x.dim() == 4 else math.isqrt(x.shape[1] - self.others)
        frequencies = cast(Tensor, self.rotary.inv_freq)
        side = rows * self.patch
        return self.rotary(frequencies.new_empty((1, 1, side, side)))


class Dinov3Backbone(ImageBackbone):
    """DINOv3's ViT (Siméoni et al. 2025). Features are the class token's; positions rotate, and in training are
    shifted and scaled as the configuration says while the patches are trained."""

    library = "DINOv3ViTModel"

    def __init__(self, model: Any) -> None:
        layers = _layers(model.model.layer, model.norm)
        config = model.config
        super().__init__(model, [Dinov3Patches(model), *layers], _side(config.patch_size), config.hidden_size)

    def context(self, state: State, start: int) -> Context:
        return {"position_embeddings": cast(Dinov3Patches, self.stages[0]).rotations(state["x"])}

    def pool(self, state: State) -> Tensor:
        return state["x"][:, 0]


class SwinPatches(Patches):
    """Swin's patches as a map: (batch, rows, columns, width)."""

    def forward(self, state: State, context: Context) -> State:
        x, size = self.embeddings(state["x"], **self.options)
        return {**state, "x": x.unflatten(1, size)}


class SwinLayer(Layer):
    """One resolution of Swin, and the merging of patches behind it: (batch, rows, columns, width) before and after."""

    def forward(self, state: State, context: Context) -> State:
        rows, columns = state["x"].shape[1:3]
        x = self.layer(state["x"].flatten(1, 2), (rows, columns))[0]
        if cast(Any, self.layer).downsample is not None:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        return {**state, "x": self.norm(x).unflatten(1, (rows, columns))}


class SwinBackbone(ImageBackbone):
    """Swin (Liu et al. 2021), a stage a resolution. Features are the mean over the map."""

    library = "SwinModel"
    options = {"add_pooling_layer": False}
    heads = ("classifier.", "decoder.", "embeddings.mask_token")

    def __init__(self, model: Any) -> None:
        config = model.config
        patches = SwinPatches(model.embeddings, interpolate_pos_encoding=True)
        layers = _layers(model.encoder.layers, model.layernorm, SwinLayer)
        # a map smaller than its window has no biases of its size
        merged = _side(config.patch_size) * 2 ** (len(config.depths) - 1)
        super().__init__(model, [patches, *layers], merged * (config.window_size - 1) + 1, model.num_features)

    def pool(self, state: State) -> Tensor:
        return state["x"].mean((1, 2))


class MeanThenNorm(nn.Module):
    """(batch, width, rows, columns) -> (batch, width)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.mean((2, 3)))


class ConvNextBackbone(ImageBackbone):
    """ConvNeXt (Liu et al. 2022), a stage a resolution. Features are the mean over the map, normalised."""

    library = "ConvNextModel"
    attention = None

    def __init__(self, model: Any) -> None:
        config = model.config
        layers = _layers(model.encoder.stages, MeanThenNorm(model.layernorm))
        smallest = _side(config.patch_size) * 2 ** (len(config.hidden_sizes) - 1)
        super().__init__(model, [Patches(model.embeddings), *layers], smallest, config.hidden_sizes[-1])

    def pool(self, state: State) -> Tensor:
        return state["x"] if state["x"].dim() == 2 else state["x"].mean((2, 3))


class ConvNextV2Backbone(ConvNextBackbone):
    """ConvNeXt V2 (Woo et al. 2023)."""

    library = "ConvNextV2Model"


TEXT_SIDE = ("text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias")
"""What a model of pictures and texts has beside its image tower."""


class CLIPBackbone(ImageBackbone):
    """The image tower of CLIP (Radford et al. 2021). Features are the class token's, normalised, not projected."""

    library = "CLIPVisionModel"
    heads = ("classifier.", *TEXT_SIDE)

    def __init__(self, model: Any) -> None:
        config = model.config
        patches = Patches(model.embeddings, model.pre_layrnorm, interpolate_pos_encoding=True)
        layers = _layers(model.encoder.layers, model.post_layernorm)
        super().__init__(model, [patches, *layers], _side(config.patch_size), config.hidden_size)

    def context(self, state: State, start: int) -> Context:
        return {"attention_mask": None}

    def pool(self, state: State) -> Tensor:
        return state["x"][:, 0]


class SiglipBackbone(ImageBackbone):
    """The image tower of SigLIP (Zhai et al. 2023). Features are those of its attention pooling, which is a stage."""

    library = "SiglipVisionModel"
    heads = ("classifier.", *TEXT_SIDE)

    def __init__(self, model: Any) -> None:
        config = model.config
        patches = Patches(model.embeddings, interpolate_pos_encoding=True)
        layers = _layers(model.encoder.layers, model.post_layernorm)
        pooling = [AttentionPooling(model.head)] if model.use_head else []
        super().__init__(model, [patches, *layers, *pooling], _side(config.patch_size), config.hidden_size)

    def context(self, state: State, start: int) -> Context:
        return {"attention_mask": None}

    def pool(self, state: State) -> Tensor:
        return state["x"] if state["x"].dim() == 2 else state["x"].mean(1)


FAMILIES: Registry[type[ImageBackbone]] = Registry("image family", "--backbone")
"""By `model_type` of a transformers configuration."""
FAMILIES.add("vit", ViTBackbone)
FAMILIES.add("dinov2", Dinov2Backbone)
FAMILIES.add("dinov3_vit", Dinov3Backbone)
FAMILIES.add("swin", SwinBackbone)
FAMILIES.add("convnext", ConvNextBackbone)
FAMILIES.add("convnextv2", ConvNextV2Backbone)
FAMILIES.add("clip", CLIPBackbone)
FAMILIES.add("clip_vision_model", CLIPBackbone)
FAMILIES.add("siglip", SiglipBackbone)
FAMILIES.add("siglip_vision_model", SiglipBackbone)
