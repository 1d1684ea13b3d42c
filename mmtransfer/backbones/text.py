"""Text encoders of transformers as stages: embeddings, then one per layer. A family is a class of about 20 lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.registry import Registry


class Embeddings(nn.Module):
    """Token ids (batch, tokens), of pairs with `types` (batch, tokens), 0 or 1, -> (batch, tokens, width)."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, state: State, context: Context) -> State:
        types = {"token_type_ids": state["types"]} if "types" in state else {}
        return {**state, "x": self.embeddings(state["x"], **types)}


class Layer(nn.Module):
    """One transformer layer under the mask of valid positions."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.layer(state["x"], context["mask"])}


class TextBackbone(Backbone):
    """Base of the text families; `tokenizer` belongs to the weights. Pooled features are the mean over valid tokens."""

    modality = "text"
    library: ClassVar[str]
    """The class of transformers that the stages are carved from."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Its keyword arguments beside the configuration."""
    heads = ("pooler.", "cls.", "classifier.", "qa_outputs.", "lm_head.")

    def __init__(self, model: Any, stages: list[nn.Module]) -> None:
        super().__init__(stages, model)
        self.family, self.config, self.preprocess = model.config.model_type, model.config.to_dict(), {}
        self.width = int(model.config.hidden_size)

    def own_name(self, name: str) -> str:
        return library_name(name, self.family)

    def context(self, state: State, start: int) -> Context:
        return {"mask": valid(state["lengths"], state["x"].shape[1])[:, None, None, :]}

    def pool(self, state: State) -> Tensor:
        mask = valid(state["lengths"], state["x"].shape[1])[..., None]
        wide = state["x"].to(torch.promote_types(state["x"].dtype, torch.float32))
        return (wide * mask).sum(1) / state["lengths"].clamp(min=1)[:, None]


def valid(lengths: Tensor, positions: int) -> Tensor:
    """(batch, positions): whether a position holds anything."""
    return torch.arange(positions, device=lengths.device) < lengths[:, None]


LEGACY = (
    (".LayerNorm.gamma", ".LayerNorm.weight"),
    (".LayerNorm.beta", ".LayerNorm.bias"),
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)
"""Endings of tensors' names in old checkpoints, and what the library calls them now."""


def library_name(name: str, prefix: str) -> str:
    """A tensor's name in a checkpoint of any of the library's models -> its name in the model without a head."""
    for old, new in LEGACY:
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name.removeprefix(f"{prefix}.")


class BertBackbone(TextBackbone):
    """BERT (Devlin et al. 2019) and what is built like it, MiniLM for one. The pooler is not built."""

    library = "BertModel"
    options: ClassVar[Mapping[str, Any]] = {"add_pooling_layer": False}

    def __init__(self, model: Any) -> None:
        super().__init__(model, [Embeddings(model.embeddings), *map(Layer, model.encoder.layer)])


FAMILIES: Registry[type[TextBackbone]] = Registry("text family", "--backbone")
"""By `model_type` of a transformers configuration."""
FAMILIES.add("bert", BertBackbone)
