"""torchvision's classification networks as stages, by the rows of `vision_families`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import URLError

import torchvision
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.vision_families import FAMILIES, Family
from mmtransfer.errors import MMTransferError, unknown


class Stage(nn.Module):
    """Parts, one after the other."""

    def __init__(self, model: nn.Module, parts: Sequence[str | nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for part in parts:
            if isinstance(part, str):
                self.parts[part.replace(".", "_")] = model.get_submodule(part)
            else:
                self.parts[type(part).__name__.lower()] = part

    def forward(self, state: State, context: Context) -> State:
        x = state["x"]
        for part in self.parts.values():
            x = part(x)
        return {**state, "x": x}


class VisionBackbone(Backbone):
    """A torchvision network without its head.

    Pooled features are the mean over the map (batch, channels, height, width), ViT's class token of (batch, tokens,
    width), or the output of the wide layers that some networks have before their last one. `preprocess`: mean and std;
    `image_size` and `crop_pct` that the weights were published with; `fixed_size`; `smallest_size`.
    """

    modality = "image"

    def __init__(self, name: str, model: nn.Module, preprocess: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        row = FAMILIES[type(model)]
        super().__init__((Stage(model, parts) for parts in row.stages(model)), model)
        self.name = self.family = name
        self.heads, self.targets = (row.head + ".", *row.dropped), row.targets
        self.config, self.preprocess = config, preprocess
        self.width = _width(model.get_submodule(row.head))
        self._renamed = row.renamed
        self._channels_last = row.channels_last

    def pool(self, state: State) -> Tensor:
        x = state["x"]
        places = (1, 2) if self._channels_last and self.depth < len(self.stages) else (2, 3)
        return x.mean(places) if x.dim() == 4 else x[:, 0] if x.dim() == 3 else x

    def own_name(self, name: str) -> str:
        return renamed(name, self._renamed)


def renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    """A tensor's name in an older file -> its name now."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def _width(head: nn.Module) -> int:
    """Size of the features that the old head takes."""
    first = next(layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
    return first.in_features if isinstance(first, nn.Linear) else first.in_channels


def names() -> list[str]:
    """torchvision's classification networks that have a family here."""
    return [name for name in torchvision.models.list_models(module=torchvision.models) if _row(name) is not None]


def family(name: str) -> Family:
    """The row of a network."""
    row = _row(name)
    if row is None:
        raise unknown("backbone", name, names(), f"--backbone {name}")
    return row


def _row(name: str) -> Family | None:
    module = torchvision.models.get_model_builder(name).__module__
    return next((row for kind, row in FAMILIES.items() if kind.__module__ == module), None)


def load_network(name: str, weights: str | None) -> VisionBackbone:
    """A torchvision network; `weights`: None for torchvision's default, the name of one of its weights, or `none`."""
    if weights == "none":
        return _settling_soon(build(name))
    entry, tensors = published(name, weights)
    backbone = build(name, size_of(name, entry), entry)
    backbone.source = f"torchvision {entry}"
    backbone.adopt(tensors, backbone.source)
    return backbone


def _settling_soon(backbone: VisionBackbone) -> VisionBackbone:
    """BatchNorm statistics that follow the last tens of steps: some families are made for 10^5 steps and take 0.01 or
    0.0003 of each, so that a short run from random weights would be judged with the statistics that it began with."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = max(module.momentum or 0.0, 0.1)
    return backbone


def build(name: str, config: Mapping[str, Any] | None = None, entry: Any = None) -> VisionBackbone:
    """A network with random weights; `config`: keyword arguments of torchvision's builder beside those of the row;
    `entry`: the published weights whose preprocessing it takes, the oldest ones if None."""
    config = dict(config or {})
    model = torchvision.models.get_model(name, weights=None, **{**family(name).options, **config})
    backbone = VisionBackbone(name, model, preprocessing(name, model, entry), config)
    backbone.source = "random weights"
    return backbone


def size_of(name: str, entry: Any) -> dict[str, Any]:
    """The builder's arguments for the size of picture that published weights are for."""
    option = family(name).size_option
    return {} if option is None else {option: entry.meta["min_size"][0]}


def preprocessing(name: str, model: nn.Module, entry: Any = None) -> dict[str, Any]:
    """What encoding needs, from published weights (the oldest ones if None)."""
    row = family(name)
    transform = (entry or next(iter(torchvision.models.get_model_weights(name)))).transforms()
    side = getattr(model, row.size_option) if row.size_option else transform.crop_size[0]
    return {
        "mean": tuple(transform.mean),
        "std": tuple(transform.std),
        "image_size": side,
        "crop_pct": transform.crop_size[0] / transform.resize_size[0],
        "fixed_size": row.fixed,
        "smallest_size": row.smallest,
    }


def published(name: str, weights: str | None) -> tuple[Any, dict[str, Any]]:
    """An entry of torchvision's weights (its default if None) and its tensors, downloaded by torchvision."""
    table = torchvision.models.get_model_weights(name)
    member = (weights or "DEFAULT").rsplit(".", 1)[-1]
    if member not in table.__members__:
        options = ["none", *table.__members__, "a .pth or .safetensors file"]
        raise unknown(f"weights of {name}", str(weights), options, f"--weights {weights}")
    entry = table[member]
    try:
        return entry, dict(entry.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise MMTransferError(
            f"Could not download {entry.url} ({error})",
            f"--backbone {name}, --weights {member}",
            "connect to a network, or take --backbone builtin, which needs none; weights that are on this machine: "
            "--weights FILE (.pth or .safetensors), or the folder of a run as --backbone; no weights: --weights none",
        ) from None
