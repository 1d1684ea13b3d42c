"""What torchvision's networks are made of: a family is a row of FAMILIES; a variant of a family is no row.

A row names its stages by child paths. What the library's forward does between its children stands in as a small module:
`InputScaling`, `Tokens`, a ReLU, a pooling layer. Dropout in front of the last layer goes with the old head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

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
    tensors' names in older files, with what the library calls them now; `targets`: how the paths of the linear layers
    end that may get adapters: where attention reads weights past its layers, those of the MLP alone.
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
    targets: tuple[str, ...] = ()


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
    torchvision.models.ConvNeXt: Family(_convnext, "classifier.2", smallest=32, targets=("block.3", "block.5")),
    torchvision.models.SwinTransformer: Family(_swin, "head", channels_last=True, targets=("mlp.0", "mlp.3")),
    torchvision.models.VisionTransformer: Family(
        _vit,
        "heads",
        fixed=True,
        size_option="image_size",
        renamed=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
        targets=("mlp.0", "mlp.3"),
    ),
    torchvision.models.MaxVit: Family(
        _maxvit, "classifier.5", fixed=True, targets=("to_qkv", "merge", "mlp_layer.1", "mlp_layer.3")
    ),
}
