"""Backbones together with the head that their checkpoint carries, and the names of its outputs.

For what a checkpoint can do before any training, and to go on from a vocabulary that it already has. Heads of images
and text are not rebuilt: the library's own network is run whole, so that its poolers and layers are what they were.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmtransfer.backbones import builtin, deepspeech, foreign, pretrained, processors, speech, timm_networks
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.text import valid
from mmtransfer.backbones.weights import state_from_file
from mmtransfer.errors import MMTransferError

LONGEST = 512
"""Tokens of the longest text that is kept whole, where the checkpoint has positions for as many."""


@dataclass(frozen=True)
class Carried:
    """What a checkpoint carries.

    `backbone`: of images and text the library's network with its head, whose features are its logits; of speech the
    encoder alone; `names`: labels, or the symbols of `ctc`: the blank first, the space between words second, empty
    where nothing is to be written; `named`: False where the labels are only numbers; `ctc`: weight and bias of a CTC
    head, rows in the order of `names`; `settings`: fields of the configuration that belong to the checkpoint.
    """

    backbone: Backbone
    names: list[str]
    named: bool
    ctc: Mapping[str, Tensor] | None
    settings: Mapping[str, Any]


def load_with_head(name: str, weights: str | None = None) -> Carried:
    """A backbone with its checkpoint's head, in float32 on the CPU.

    `name`: a torchvision network, `builtin:speech`, a folder or a hub name of transformers; `weights`: of a torchvision
    network, the name of published weights or a file. Raises MMTransferError where there is no head.
    """
    from mmtransfer.backbones import vision

    if name in vision.names():
        return _image(name, weights)
    if weights is not None:
        raise MMTransferError("Only torchvision's networks take weights by name or file", "--weights", "leave it out")
    if timm_networks.is_timm(name):
        raise headless(name, "timm's networks are taken without their labels")
    if name == deepspeech.NAME or name in speech.SHAPES:
        raise headless(name, "it is an architecture without a checkpoint")
    if builtin.is_builtin(name):
        chosen = builtin.modality_of(name, None)
        if chosen != "speech":
            raise headless(name, "it was trained without labels of its own")
        backbone = builtin.load_packed(chosen)
        names, ctc = vocabulary(backbone.source)
        return Carried(backbone, names, True, ctc, {})
    config = pretrained.configuration(name)
    family = pretrained.family_of(config, name)
    if family.modality == "speech":
        backbone = pretrained.load_encoder(name, config, own_weights=True)
        names, ctc = vocabulary(backbone.source)
        return Carried(backbone, names, True, ctc, {})
    return _pictures(name, config) if family.modality == "image" else _text(name, config)


def headless(name: str, reason: str) -> MMTransferError:
    """The error for a backbone whose checkpoint has no head."""
    return MMTransferError(
        f"{name} carries no head: {reason}", name, "train one: mmtransfer fit TASK --backbone ... --train DATA"
    )


class Whole(Backbone):
    """A network of a library with its own head as the only stage; its features are its logits."""

    def __init__(self, modality: str, name: str, network: nn.Module, model: nn.Module) -> None:
        super().__init__([network], model)
        self.modality, self.name, self.family = modality, name, name
        self.config, self.preprocess, self.width = {}, {}, 0
        self.renamed: tuple[tuple[str, str], ...] = ()

    def pool(self, state: State) -> Tensor:
        return state["x"]

    def own_name(self, name: str) -> str:
        from mmtransfer.backbones import vision

        return vision.renamed(name, self.renamed)


class ImageNetwork(nn.Module):
    """Pixels (batch, 3, side, side) -> logits; `options`: keyword arguments of the library's forward."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.model, self.options = model, options

    def forward(self, state: State, context: Context) -> State:
        output = self.model(state["x"], **self.options)
        return {**state, "x": output if isinstance(output, Tensor) else output.logits}


class TextNetwork(nn.Module):
    """Token ids (batch, tokens) -> logits, padded with the token that the library looks for."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, state: State, context: Context) -> State:
        ids, lengths, padding = state["x"], state["lengths"], self.model.config.pad_token_id
        types = {"token_type_ids": state["types"]} if "types" in state else {}
        if padding is None:  # GPT-2 has none: the library then takes the last token of a row, and rows one by one
            rows = zip(ids, lengths.tolist(), strict=True)
            logits = torch.cat([self.model(input_ids=row[None, :length]).logits for row, length in rows])
        else:
            mask = valid(lengths, ids.shape[1])
            ids = ids.masked_fill(~mask, padding)
            logits = self.model(input_ids=ids, attention_mask=mask.long(), **types).logits
        return {**state, "x": logits}


def _image(name: str, weights: str | None) -> Carried:
    import torchvision

    from mmtransfer.backbones import vision

    if weights == "none":
        raise headless(name, "random weights have learned no labels")
    row, entry, config = vision.family(name), None, {}
    if weights is not None and Path(weights).suffix in (".pth", ".pt", ".safetensors"):
        tensors = state_from_file(weights)
        own = {vision.renamed(key, row.renamed): value for key, value in tensors.items()}
        rows = [value.shape[0] for key, value in own.items() if re.match(rf"{re.escape(row.head)}\..*weight$", key)]
        if not rows:
            raise headless(weights, f"{name} would have it under {row.head}")
        names = [str(number) for number in range(rows[-1])]
    else:
        entry, tensors = vision.published(name, weights)
        names, config = list(entry.meta["categories"]), vision.size_of(name, entry)
    options = {**row.options, **config, "num_classes": len(names)}
    model = torchvision.models.get_model(name, weights=None, **options)
    backbone = Whole("image", name, ImageNetwork(model), model)
    backbone.heads, backbone.renamed = row.dropped, row.renamed
    backbone.preprocess = vision.preprocessing(name, model, entry)
    backbone.source = weights or f"torchvision {entry}"
    backbone.adopt(tensors, backbone.source)
    settings = {key: backbone.preprocess[key] for key in ("image_size", "crop_pct")}
    return Carried(backbone, names, entry is not None, None, settings)


def _text(name: str, config: Mapping[str, Any]) -> Carried:
    from transformers import AutoModelForSequenceClassification

    _needs(name, config, "ForSequenceClassification", "a text classifier")
    model = _whole(name, AutoModelForSequenceClassification)
    names, named = _labels(name, model.config)
    backbone = Whole("text", name, TextNetwork(model), model)
    encoder = pretrained.family_of(config, name)(model.base_model)  # the same modules, for what is known of the family
    backbone.positions, backbone.pooling, backbone.source = encoder.positions, encoder.pooling, name
    backbone.tokenizer, backbone.config = pretrained.tokenizer_of(name, model.config.vocab_size), encoder.config
    return Carried(backbone, names, named, None, {"max_length": min(encoder.positions or LONGEST, LONGEST)})


def _pictures(name: str, config: Mapping[str, Any]) -> Carried:
    from transformers import AutoModelForImageClassification

    _needs(name, config, "ForImageClassification", "an image classifier")
    preprocess = processors.pictures(name)
    model = _whole(name, AutoModelForImageClassification)
    names, named = _labels(name, model.config)
    learned = "interpolate_pos_encoding" in inspect.signature(type(model).forward).parameters
    network = ImageNetwork(model, interpolate_pos_encoding=True) if learned else ImageNetwork(model)
    backbone = Whole("image", name, network, model)
    backbone.preprocess, backbone.source = preprocess, name
    return Carried(backbone, names, named, None, {key: preprocess[key] for key in ("image_size", "crop_pct")})


def _labels(name: str, config: Any) -> tuple[list[str], bool]:
    """The labels of the library's classifier, numbers where they have no names, and whether they have."""
    if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
        raise headless(name, "its outputs are not one label of several")
    names = [str(config.id2label[number]) for number in range(config.num_labels)]
    if any(label != f"LABEL_{number}" for number, label in enumerate(names)):
        return names, True
    return [str(number) for number in range(len(names))], False


def _needs(name: str, config: Mapping[str, Any], ending: str, what: str) -> None:
    architectures = config.get("architectures") or []
    if not any(str(architecture).endswith(ending) for architecture in architectures):
        raise headless(
            name, f"config.json names {', '.join(architectures) or 'no architecture'}, not {what} (...{ending})"
        )


def _whole(name: str, library: Any) -> Any:
    """The library's own model with its head; raises MMTransferError where the weights of a head are missing."""

    def fetched(local: bool) -> tuple[Any, dict[str, Any]]:
        with pretrained.quiet(), foreign.pickles(name):
            return library.from_pretrained(
                name,
                dtype=torch.float32,
                local_files_only=local,
                trust_remote_code=False,
                output_loading_info=True,
            )

    model, info = pretrained.fetch(name, fetched)
    missing = sorted(key for key in info["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise headless(name, f"its weights lack {', '.join(missing[:10])}")
    return model


def vocabulary(source: str) -> tuple[list[str], dict[str, Tensor]]:
    """The symbols of a CTC checkpoint and its head (weight, bias), both in our order: blank first, space second.

    `source`: where a backbone's weights came from: a folder or a hub name of transformers, a run, or `builtin:speech`.
    Raises MMTransferError where there is no CTC head, or no symbol between words.
    """
    from transformers import AutoModelForCTC

    model_folder = Path(source) / "model"
    if builtin.is_builtin(source):
        model_folder = builtin.FOLDER / builtin.modality_of(source, None)
    name = str(model_folder) if model_folder.is_dir() else source
    config = pretrained.configuration(name) if Path(name).is_dir() or "/" in name else {}
    _needs(name, config, "ForCTC", "a CTC model")
    model = _whole(name, AutoModelForCTC)
    tokenizer = pretrained.fetch(name, lambda local: foreign.tokenizer(name, name, local))
    numbers, blank = tokenizer.get_vocab(), model.config.pad_token_id
    space, rows = numbers.get(tokenizer.word_delimiter_token), model.lm_head.weight.shape[0]
    if space is None or space >= rows or blank is None:  # the tokenizer numbers what it adds behind the head's rows
        raise MMTransferError(
            f"The vocabulary of {name} has no {'blank' if blank is None else 'symbol between words'}",
            name,
            "take the characters of the training data: --vocabulary train",
        )
    symbols = {number: symbol for symbol, number in numbers.items() if not re.fullmatch(r"<.+>|\[.+\]", symbol)}
    order = [blank, space, *(number for number in range(rows) if number not in (blank, space))]
    names = ["<blank>", "|", *(symbols.get(number, "") for number in order[2:])]
    head = {key: value.detach()[order].contiguous() for key, value in model.lm_head.named_parameters()}
    return names, head
