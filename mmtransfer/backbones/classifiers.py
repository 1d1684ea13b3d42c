"""A run's head for transformers: as the classifier of theirs that computes it, else as an error that names ours.

Their classifiers of texts put a layer of their own between the first token and the labels. Where that is tanh, it can
be told to leave features as they are: tanh(x * SMALL) is x * SMALL to the last digits of float32. Where it is GELU, it
is the one in the middle of our MLP. None of theirs averages over tokens. Those of recordings project frames, which the
identity leaves as they are; those of pictures are one linear layer. So are those of tokens in
most families.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmtransfer.backbones.staged import Backbone

SMALL = 2.0**-12
"""A power of two: multiplying by it and dividing again loses nothing. tanh is off by (x * SMALL)^2 / 3 of x."""

TANH: Mapping[str, tuple[str, str]] = {
    "bert": ("pooler.dense", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    "camembert": ("classifier.dense", "classifier.out_proj"),
    "mpnet": ("classifier.dense", "classifier.out_proj"),
}
"""By family, the linear layers of its classifier, tanh between them, on the first token."""

GELU: Mapping[str, tuple[str, str]] = {"electra": ("classifier.dense", "classifier.out_proj")}
"""The same, of those with GELU."""

PIPELINES = "custom_pipelines"
"""The key of config.json that `transformers.pipeline` looks a task up in before its own tasks."""

PLAIN = frozenset({"vit", "dinov2", "swin", "convnext", "convnextv2"})
"""Families of pictures whose classifier is one linear layer on the features that are pooled here."""

PROJECTED = frozenset({"wav2vec2", "hubert", "wavlm"})
"""Families of recordings whose classifier is the mean over projected frames, and one linear layer."""

TAGGERS = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "gpt2"}
    | {"albert", "deberta", "deberta-v2"}
)
"""Families of texts whose classifier of tokens is one linear layer on the last states; ModernBERT's has one more."""

WORDS = "words"
"""What heads on every token stand under, in the tables below, beside the modalities of heads on pooled features."""

LIBRARY: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "text": (
        "ForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
        ("text-classification", "sentiment-analysis"),
    ),
    "image": ("ForImageClassification", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", ("image-classification",)),
    "speech": ("ForSequenceClassification", "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING", ("audio-classification",)),
    WORDS: ("ForTokenClassification", "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING", ("token-classification", "ner")),
}
"""By modality, and of tokens: how the names of classifiers end, the table of them, and what its pipeline is called."""

INPUTS: Mapping[str, str] = {"text": "texts", "image": "images", "speech": "recordings", WORDS: "lists of words"}
"""By modality, and of tokens, what our own `predict` takes."""


@dataclass(frozen=True)
class Classifier:
    """A head on pooled features.

    `layers`: weight (out, in) and bias (out,) of its linear layers, GELU between them; `names`: of its outputs;
    `problem`: what transformers calls the task (`problem_type`).
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    names: Sequence[str]
    problem: str


@dataclass(frozen=True)
class Tagger:
    """A head on every token: `layers` as of a Classifier; `names`: of its tags."""

    layers: Sequence[tuple[Tensor, Tensor]]
    names: Sequence[str]


def _tagger(backbone: Backbone, head: Tagger) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Entries of config.json, and tensors by name, of a head on every token; a refusal where transformers has no class
    that computes it."""
    if len(head.layers) != 1 or backbone.depth != len(backbone.stages) or backbone.family not in TAGGERS:
        return _refusal(backbone, WORDS)
    (weight, bias), *_ = head.layers
    tensors = {"classifier.weight": weight, "classifier.bias": bias}
    settings = {
        "architectures": [backbone.library.removesuffix("Model") + LIBRARY[WORDS][0]],
        **_numbered(head.names),
    }
    return settings, {name: value.detach().cpu().float().contiguous() for name, value in tensors.items()}


def _numbered(names: Sequence[str]) -> dict[str, Any]:
    """Names of outputs, as config.json has them."""
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def export(backbone: Backbone, head: Classifier | Tagger) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Entries of config.json, and tensors by name, to be written beside a backbone of transformers."""
    if isinstance(head, Tagger):
        return _tagger(backbone, head)
    tensors = _computed(backbone, head)
    if tensors is None:
        return _refusal(backbone, backbone.modality)
    settings = {
        "architectures": [backbone.library.removesuffix("Model") + LIBRARY[backbone.modality][0]],
        **(_of_frames(backbone) if backbone.modality == "speech" else {}),
        **_numbered(head.names),
        "problem_type": head.problem,
    }
    return settings, {name: value.detach().cpu().float().contiguous() for name, value in tensors.items()}


def _of_frames(backbone: Backbone) -> dict[str, Any]:
    """Entries of config.json: frames are the last layer's, whatever the checkpoint says, and keep their width."""
    return {"classifier_proj_size": backbone.width, "use_weighted_layer_sum": False}


def _computed(backbone: Backbone, head: Classifier) -> dict[str, Tensor] | None:
    """The head as tensors of the family's classifier; None where it has none that computes the same."""
    if backbone.depth != len(backbone.stages):
        return None
    (weight, bias), *others = head.layers
    if not others and backbone.family in PLAIN | PROJECTED:
        same = torch.eye(backbone.width, dtype=weight.dtype, device=weight.device)
        frames = {"projector.weight": same, "projector.bias": torch.zeros_like(same[0])}
        own = frames if backbone.family in PROJECTED else {}
        return {**own, "classifier.weight": weight, "classifier.bias": bias}
    if backbone.pooling != "cls":
        return None
    if not others and backbone.family in TANH:
        first, last = TANH[backbone.family]
        same = torch.eye(backbone.width, dtype=weight.dtype, device=weight.device)
        return {
            f"{first}.weight": same * SMALL,
            f"{first}.bias": torch.zeros_like(same[0]),
            f"{last}.weight": weight / SMALL,
            f"{last}.bias": bias,
        }
    if len(others) == 1 and backbone.family in GELU and weight.shape[0] == backbone.width:
        first, last = GELU[backbone.family]
        (top, top_bias) = others[0]
        return {f"{first}.weight": weight, f"{first}.bias": bias, f"{last}.weight": top, f"{last}.bias": top_bias}
    return None


def _refusal(backbone: Backbone, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What makes transformers refuse the run as a classifier, and load it as an encoder all the same.

    `kind`: of LIBRARY.

    `AutoModelForSequenceClassification` takes any encoder, and draws the head that it does not find. Tensors under that
    head's names, but of a shape that it never has, are an error to it, with a table of names above; there the first
    tensor says what to do. To `AutoModel` they are names that it does not know. A pipeline would go on with the bare
    encoder, and fail at the first text; one of the checkpoint's own it refuses, with the name of the class it lacks.
    """
    instead = f"mmtransfer.load(RUN).predict({INPUTS[kind]})"
    missing = {"impl": "none", "pt": [f"a class that computes the head of this run: use {instead}"]}
    settings = {PIPELINES: {task: missing for task in LIBRARY[kind][2]}}
    names = _heads_matrices(backbone, LIBRARY[kind][1])
    tensors = {name: torch.zeros(1) for name in names}
    if names:
        tensors[f"{names[0]}: no class of transformers computes this head, use {instead}"] = torch.zeros(1)
    return settings, tensors


def _heads_matrices(backbone: Backbone, table: str) -> list[str]:
    """The names of the matrices that the family's classifier in transformers' `table` has and its encoder has not."""
    import transformers
    from transformers import AutoConfig

    mapping = getattr(transformers, table)
    config = AutoConfig.for_model(backbone.family, **{k: v for k, v in backbone.config.items() if k != "model_type"})
    if type(config) not in mapping:
        return []
    library: Any = mapping[type(config)]
    try:
        with torch.device("meta"):
            model = (library[0] if isinstance(library, tuple) else library)(config)
    except Exception:  # of any family: that it cannot be exported must not end the run
        return []
    prefix = f"{model.base_model_prefix}."
    state = model.state_dict()
    body = {name.removeprefix(prefix) for name in state if name.startswith(prefix)}
    return [
        name for name, value in state.items() if value.dim() > 1 and name not in body and not name.startswith(prefix)
    ]
