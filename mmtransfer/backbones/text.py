"""Text encoders of transformers as stages: embeddings, then one per layer. A family is a class of about 20 lines.

Any other encoder is one stage: whole_text.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from mmtransfer.backbones.attention import ATTENTION
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.errors import unknown
from mmtransfer.registry import Registry

POOLINGS = ("mean", "cls", "last", "unit")
"""mean: over the tokens; cls: the first one; last: the last one that is no padding; unit: the mean, scaled to one
length."""


class Embeddings(nn.Module):
    """Token ids (batch, tokens), of pairs with `types` (batch, tokens), 0 or 1, -> (batch, tokens, width).

    `project`: to the layers' width, where it is another; `first`: number of the first position, where the library
    would count the tokens that are no padding of its own.
    """

    def __init__(self, embeddings: nn.Module, project: nn.Module | None = None, first: int | None = None) -> None:
        super().__init__()
        self.embeddings, self.project = embeddings, project or nn.Identity()
        self.first = first

    def forward(self, state: State, context: Context) -> State:
        places = {} if self.first is None else {"position_ids": _range(state["x"])[None] + self.first}
        types = {"token_type_ids": state["types"]} if "types" in state else {}
        return {**state, "x": self.project(self.embeddings(state["x"], **types, **places))}


class Layer(nn.Module):
    """One transformer layer under the mask of valid positions; `norm`: what the library has behind its last layer."""

    def __init__(self, layer: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm or nn.Identity()

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.norm(self.through(state["x"], context))}

    def through(self, x: Tensor, context: Context) -> Tensor:
        return self.layer(x, attention_mask=context["mask"])


class TextBackbone(Backbone):
    """Base of the text families; `tokenizer` belongs to the weights, `pooling` is one of POOLINGS."""

    modality = "text"
    attention: ClassVar[str | None] = ATTENTION
    """The library's attention; None for its own choice."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Keyword arguments of the library's class beside the configuration."""
    pooling = "mean"
    heads: tuple[str, ...] = ("pooler.", "cls.", "classifier.", "qa_outputs.", "lm_head.")
    targets: tuple[str, ...] = ("query", "key", "value", "dense")
    leftovers: ClassVar[tuple[str, ...]] = ("position_ids",)
    """Endings of tensors in old files that are computed today."""

    def __init__(self, model: Any, stages: list[nn.Module]) -> None:
        super().__init__(stages, model)
        self.family, self.config, self.preprocess = model.config.model_type, model.config.to_dict(), {}
        self.library, self.prefix = type(model).__name__, model.base_model_prefix
        self.width = int(model.config.hidden_size)
        self.positions = getattr(model.config, "max_position_embeddings", None)

    @property
    def vocabulary(self) -> nn.Embedding | None:
        """None where the library's model is one stage, which may read the table elsewhere too, or scales the rows."""
        size, first = self.config.get("vocab_size"), self.stages[0]
        tables = [part for part in first.modules() if type(part) is nn.Embedding and part.num_embeddings == size]
        return tables[0] if len(tables) == 1 and isinstance(first, Embeddings | GPT2Embeddings) else None

    def own_name(self, name: str) -> str:
        return library_name(name, self.prefix)

    def is_head(self, name: str) -> bool:
        return super().is_head(name) or name.endswith(self.leftovers)

    def context(self, state: State, start: int) -> Context:
        return {"mask": valid(state["lengths"], state["x"].shape[1])[:, None, None, :]}

    def pool(self, state: State) -> Tensor:
        wide = state["x"].to(torch.promote_types(state["x"].dtype, torch.float32))
        if self.pooling == "cls":
            return wide[:, 0]
        if self.pooling == "last":
            return wide[torch.arange(len(wide), device=wide.device), state["lengths"].clamp(min=1) - 1]
        return unit(state) if self.pooling == "unit" else mean(state)


def _range(x: Tensor) -> Tensor:
    return torch.arange(x.shape[1], device=x.device)


def valid(lengths: Tensor, positions: int) -> Tensor:
    """(batch, positions): whether a position holds anything."""
    return torch.arange(positions, device=lengths.device) < lengths[:, None]


def mean(state: State) -> Tensor:
    """(batch, width), at least float32: the mean over the positions that hold anything."""
    wide = state["x"].to(torch.promote_types(state["x"].dtype, torch.float32))
    mask = valid(state["lengths"], wide.shape[1])[..., None]
    return (wide * mask).sum(1) / state["lengths"].clamp(min=1)[:, None]


def unit(state: State) -> Tensor:
    """(batch, width): the mean, made as long as a vector of ones: what differs is its direction alone, as the cosines
    have it that encoders of sentences are trained by (Reimers & Gurevych 2019)."""
    x = mean(state)
    return x * (x.shape[-1] ** 0.5 / x.norm(dim=-1, keepdim=True).clamp(min=1e-12))


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


class RobertaBackbone(TextBackbone):
    """RoBERTa (Liu et al. 2019). Positions start behind the number of the padding token, so there are fewer of them."""

    library = "RobertaModel"
    options: ClassVar[Mapping[str, Any]] = {"add_pooling_layer": False}

    def __init__(self, model: Any) -> None:
        first = model.config.pad_token_id + 1
        super().__init__(model, [Embeddings(model.embeddings, first=first), *map(Layer, model.encoder.layer)])
        self.positions = model.config.max_position_embeddings - first


class XLMRobertaBackbone(RobertaBackbone):
    """XLM-RoBERTa (Conneau et al. 2020)."""

    library = "XLMRobertaModel"


class CamembertBackbone(RobertaBackbone):
    """CamemBERT (Martin et al. 2020)."""

    library = "CamembertModel"


class DistilBertBackbone(TextBackbone):
    """DistilBERT (Sanh et al. 2019)."""

    library = "DistilBertModel"
    heads = ("vocab_", "pre_classifier.", "classifier.", "qa_outputs.")
    targets = ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2")

    def __init__(self, model: Any) -> None:
        super().__init__(model, [Embeddings(model.embeddings), *map(Layer, model.transformer.layer)])


class ElectraBackbone(TextBackbone):
    """ELECTRA (Clark et al. 2020). Small ones have embeddings narrower than their layers."""

    library = "ElectraModel"
    heads = ("discriminator_predictions.", "generator_", "classifier.", "qa_outputs.")

    def __init__(self, model: Any) -> None:
        embeddings = Embeddings(model.embeddings, getattr(model, "embeddings_project", None))
        super().__init__(model, [embeddings, *map(Layer, model.encoder.layer)])


class MPNetEmbeddings(Embeddings):
    """MPNet's embeddings, and the relative position bias that all its layers share."""

    def __init__(self, model: Any) -> None:
        super().__init__(model.embeddings, first=model.embeddings.padding_idx + 1)
        self.relative, self.bucket = model.encoder.relative_attention_bias, model.encoder.relative_position_bucket

    def bias(self, x: Tensor) -> Tensor:
        """(1, heads, tokens, tokens), added to the attention's scores."""
        places = _range(x)
        return self.relative(self.bucket(places[None] - places[:, None])).permute(2, 0, 1)[None]


class MPNetLayer(Layer):
    def through(self, x: Tensor, context: Context) -> Tensor:
        return self.layer(x, attention_mask=context["mask"], position_bias=context["bias"])[0]


class MPNetBackbone(TextBackbone):
    """MPNet (Song et al. 2020). Its mask is added to the scores: the library has no other attention for it."""

    library = "MPNetModel"
    targets = ("attn.q", "attn.k", "attn.v", "attn.o", "dense")
    attention = "eager"
    options: ClassVar[Mapping[str, Any]] = {"add_pooling_layer": False}

    def __init__(self, model: Any) -> None:
        super().__init__(model, [MPNetEmbeddings(model), *map(MPNetLayer, model.encoder.layer)])
        self.positions = model.config.max_position_embeddings - model.embeddings.padding_idx - 1

    def context(self, state: State, start: int) -> Context:
        bias = cast(MPNetEmbeddings, self.stages[0]).bias(state["x"])
        mask = super().context(state, start)["mask"]
        return {"bias": bias, "mask": torch.where(mask, 0.0, torch.finfo(bias.dtype).min).to(bias.dtype)}


class GPT2Embeddings(nn.Module):
    """Words and positions of GPT-2."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.words, self.places, self.dropout = model.wte, model.wpe, model.drop

    def forward(self, state: State, context: Context) -> State:
        return {**state, "x": self.dropout(self.words(state["x"]) + self.places(_range(state["x"])))}


class GPT2Backbone(TextBackbone):
    """GPT-2 (Radford et al. 2019). A token sees those before it, so the last one is what is pooled."""

    library = "GPT2Model"
    pooling = "last"
    targets = ("c_attn", "c_proj", "c_fc")
    heads = ("lm_head.", "score.", "classifier.", "qa_outputs.", "multiple_choice_head.")
    leftovers = (".attn.bias", ".attn.masked_bias")

    def __init__(self, model: Any) -> None:
        layers = [*map(Layer, model.h[:-1]), Layer(model.h[-1], model.ln_f)]
        super().__init__(model, [GPT2Embeddings(model), *layers])

    def context(self, state: State, start: int) -> Context:
        places = _range(state["x"])
        return {"mask": super().context(state, start)["mask"] & (places <= places[:, None])}


class ModernBertEmbeddings(Embeddings):
    """ModernBERT's embeddings, and the frequencies of the rotary positions that its layers share."""

    def __init__(self, model: Any) -> None:
        super().__init__(model.embeddings)
        self.rotary = model.rotary_emb

    def rotations(self, x: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        """Cosines and sines (1, tokens, head width) for layers of a kind."""
        words = cast(Any, self.embeddings).tok_embeddings.weight
        return self.rotary(words, _range(x)[None], kind)


class ModernBertLayer(Layer):
    def through(self, x: Tensor, context: Context) -> Tensor:
        mask, rotations = context[cast(Any, self.layer).attention_type]
        return self.layer(x, attention_mask=mask, position_embeddings=rotations)


class ModernBertBackbone(TextBackbone):
    """ModernBERT (Warner et al. 2024): some layers see all tokens, the others a window around each."""

    library = "ModernBertModel"
    targets = ("Wqkv", "Wo", "Wi")
    heads = ("head.", "classifier.", "decoder.", "qa_outputs.")

    def __init__(self, model: Any) -> None:
        layers = [*map(ModernBertLayer, model.layers[:-1]), ModernBertLayer(model.layers[-1], model.final_norm)]
        super().__init__(model, [ModernBertEmbeddings(model), *layers])
        self.window = int(model.config.sliding_window)

    def context(self, state: State, start: int) -> Context:
        x, places = state["x"], _range(state["x"])
        everything = super().context(state, start)["mask"]
        near = everything & ((places - places[:, None]).abs() <= self.window)
        masks = {"full_attention": everything, "sliding_attention": near}
        rotations = cast(ModernBertEmbeddings, self.stages[0]).rotations
        return {kind: (masks[kind], rotations(x, kind)) for kind in set(self.config["layer_types"])}


def check_pooling(name: str) -> None:
    """Raises MMTransferError for what is not one of POOLINGS."""
    if name not in POOLINGS:
        raise unknown("pooling", name, POOLINGS, f"--pooling {name}")


FAMILIES: Registry[type[TextBackbone]] = Registry("text family", "--backbone")
"""By `model_type` of a transformers configuration."""
FAMILIES.add("bert", BertBackbone)
FAMILIES.add("roberta", RobertaBackbone)
FAMILIES.add("xlm-roberta", XLMRobertaBackbone)
FAMILIES.add("camembert", CamembertBackbone)
FAMILIES.add("distilbert", DistilBertBackbone)
FAMILIES.add("electra", ElectraBackbone)
FAMILIES.add("mpnet", MPNetBackbone)
FAMILIES.add("gpt2", GPT2Backbone)
FAMILIES.add("modernbert", ModernBertBackbone)
