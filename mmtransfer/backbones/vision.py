"""torchvision's classification networks as stages. A family is a row of FAMILIES; a variant of a family is no row.

A row names its stages by child paths. What the library's forward does between its children stands in as a small module:
`InputScaling`, `Tokens`, a ReLU, a pooling layer. Dropout in front of the last layer goes with the old head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.errors import MMTransferError, unknown

Parts = list[str | nn.Module]
"""A stage: child paths of the library's model, and modules that stand in for code between them."""


@dataclass(frozen=True)
class Family:
    """One architecture.

    `stages`: model -> the parts of each stage; `head`: path of the old head, whose first layer says how wide the
    features are; `dropped`: further prefixes of tensors that are not built; `fixed`: one size of picture only;
    `smallest`: pixels of a side below which the last maps are empty; `channels_last`: maps between stages are (batch,
    height, width, channels); `options`: keyword arguments of torchvision's
    builder; `size_option`: the one of them that sets the size of the picture; `renamed`: regular expressions of
    tensors' names in older files, with what the library calls them now.
    """

    stages: Callable[[Any], list[Parts]]
    head: str
    dropped: tuple[str, ...] = ()
    fixed: bool = False
    smallest: int = 1
    channels_last: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    size_option: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()


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


class InputScaling(nn.Module):
    """From ImageNet's normalisation to pixels in -1..1, on which Inception's and GoogLeNet's weights were trained.

    torchvision scales where it loads weights; here it is always done, so that a network and its rebuilt copy agree.
    """

    def __init__(self) -> None:
        super().__init__()
        scale = [std / 0.5 for std in (0.229, 0.224, 0.225)]
        shift = [(mean - 0.5) / 0.5 for mean in (0.485, 0.456, 0.406)]
        self.scale = nn.Buffer(torch.tensor(scale)[:, None, None], persistent=False)
        self.shift = nn.Buffer(torch.tensor(shift)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class Tokens(nn.Module):
    """ViT's patches behind its class token, with positions: (batch, 3, side, side) -> (batch, 1 + patches, width)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patches, self.dropout = model.conv_proj, model.encoder.dropout
        self.class_token, self.positions = model.class_token, model.encoder.pos_embedding

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], 1)
        return self.dropout(tokens + self.positions)


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
        self.heads = (row.head + ".", *row.dropped)
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


def _between(model: nn.Module, ends: Callable[[nn.Module, int], bool]) -> list[Parts]:
    """Children of `model.features`, a new stage after each that `ends`."""
    stages: list[Parts] = [[]]
    children = list(model.get_submodule("features").children())
    for number, child in enumerate(children):
        stages[-1].append(f"features.{number}")
        if ends(child, number) and number + 1 < len(children):
            stages.append([])
    return stages


def _is_pool(child: nn.Module, number: int) -> bool:
    return isinstance(child, nn.MaxPool2d)


def _wide(model: nn.Module) -> list[Parts]:
    """One stage per pooling block, then the two wide linear layers: the classic job replaces the last layer only."""
    first: Parts = ["avgpool", nn.Flatten(), *(f"classifier.{n}" for n in range(3))]
    return [*_between(model, _is_pool), first, [f"classifier.{n}" for n in range(3, 6)]]


def _halves(model: nn.Module) -> list[Parts]:
    """Ends a stage before each block that halves the map (MobileNet's strides)."""
    children = list(model.get_submodule("features").children())

    def strided(child: nn.Module) -> bool:
        return any(isinstance(part, nn.Conv2d) and part.stride[0] == 2 for part in child.modules())

    return _between(model, lambda child, number: number + 1 < len(children) and strided(children[number + 1]))


def _features(*stages: Sequence[int]) -> list[Parts]:
    return [[f"features.{number}" for number in numbers] for numbers in stages]


def _mobilenet_v3(model: Any) -> list[Parts]:
    return [*_halves(model), ["avgpool", nn.Flatten(), "classifier.0", "classifier.1"]]


def _densenet(model: Any) -> list[Parts]:
    stem: Parts = [f"features.{name}" for name in ("conv0", "norm0", "relu0", "pool0")]
    blocks: list[Parts] = [[f"features.denseblock{n}", f"features.transition{n}"] for n in (1, 2, 3)]
    return [stem, *blocks, ["features.denseblock4", "features.norm5", nn.ReLU(inplace=True)]]


def _efficientnet(model: Any) -> list[Parts]:
    last = len(model.features) - 1  # a convolution, which belongs to the last blocks
    return _features(*([number] for number in range(last - 1)), [last - 1, last])


def _mnasnet(model: Any) -> list[Parts]:
    cuts = (0, 8, 9, 10, 12, len(model.layers))
    return [[f"layers.{n}" for n in range(a, b)] for a, b in zip(cuts, cuts[1:], strict=False)]


def _convnext(model: Any) -> list[Parts]:
    *first, last = _features([0], [1], [2, 3], [4, 5], [6, 7])
    return [*first, [*last, "avgpool", "classifier.0", nn.Flatten()]]


def _swin(model: Any) -> list[Parts]:
    *first, last = _features([0], [1], [2, 3], [4, 5], [6, 7])
    return [*first, [*last, "norm", "permute"]]


def _vit(model: Any) -> list[Parts]:
    layers: list[Parts] = [[f"encoder.layers.{name}"] for name, _ in model.encoder.layers.named_children()]
    return [[Tokens(model)], *layers[:-1], [*layers[-1], "encoder.ln"]]


def _inception(model: Any) -> list[Parts]:
    stem: Parts = [InputScaling(), "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"]
    mixed: list[Parts] = [
        [f"Mixed_{level}{letter}" for letter in letters] for level, letters in ((5, "bcd"), (6, "abcde"), (7, "abc"))
    ]
    return [stem, ["Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"], *mixed]


def _googlenet(model: Any) -> list[Parts]:
    third: Parts = ["inception3a", "inception3b", "maxpool3"]
    fourth: Parts = [*(f"inception4{letter}" for letter in "abcde"), "maxpool4"]
    stem: Parts = [InputScaling(), "conv1", "maxpool1", "conv2", "conv3", "maxpool2"]
    return [stem, third, fourth, ["inception5a", "inception5b"]]


def _regnet(model: Any) -> list[Parts]:
    blocks: list[Parts] = [[f"trunk_output.block{number}"] for number in (1, 2, 3, 4)]
    return [["stem"], *blocks]


def _maxvit(model: Any) -> list[Parts]:
    blocks: list[Parts] = [[f"blocks.{number}"] for number in range(len(model.blocks))]
    return [["stem"], *blocks, [f"classifier.{number}" for number in range(5)]]


def _paths(*stages: Parts) -> Callable[[Any], list[Parts]]:
    return lambda model: list(stages)


# auxiliary classifiers are not built: only training looks at them, and they fix the size of the picture
_PLAIN = {"aux_logits": False, "transform_input": True, "init_weights": True}

FAMILIES: Mapping[type[nn.Module], Family] = {
    torchvision.models.AlexNet: Family(_wide, "classifier.6", smallest=63),
    torchvision.models.VGG: Family(_wide, "classifier.6", smallest=32),
    torchvision.models.ResNet: Family(
        _paths(["conv1", "bn1", "relu", "maxpool"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]), "fc"
    ),
    torchvision.models.MobileNetV2: Family(_halves, "classifier"),
    torchvision.models.MobileNetV3: Family(_mobilenet_v3, "classifier.3"),
    torchvision.models.SqueezeNet: Family(lambda model: _between(model, _is_pool), "classifier", smallest=21),
    torchvision.models.Inception3: Family(_inception, "fc", ("AuxLogits.",), fixed=True, options=_PLAIN),
    torchvision.models.GoogLeNet: Family(_googlenet, "fc", ("aux1.", "aux2."), smallest=15, options=_PLAIN),
    torchvision.models.DenseNet: Family(
        _densenet,
        "classifier",
        smallest=29,
        renamed=((r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2."),),
    ),
    torchvision.models.ShuffleNetV2: Family(
        _paths(["conv1", "maxpool"], ["stage2"], ["stage3"], ["stage4", "conv5"]), "fc"
    ),
    torchvision.models.MNASNet: Family(_mnasnet, "classifier"),
    torchvision.models.EfficientNet: Family(_efficientnet, "classifier"),
    torchvision.models.RegNet: Family(_regnet, "fc"),
    torchvision.models.ConvNeXt: Family(_convnext, "classifier.2", smallest=32),
    torchvision.models.SwinTransformer: Family(_swin, "head", channels_last=True),
    torchvision.models.VisionTransformer: Family(
        _vit,
        "heads",
        fixed=True,
        size_option="image_size",
        renamed=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
    ),
    torchvision.models.MaxVit: Family(_maxvit, "classifier.5", fixed=True),
}


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


def load(name: str, weights: str | None) -> VisionBackbone:
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
            "give --weights FILE (a .pth or .safetensors file on this machine) or --weights none, "
            "or as --backbone the local folder of a run, or builtin, which needs no network",
        ) from None
