"""torchvision's classification networks as stages. A family is a row of FAMILIES; a variant of a family is no row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.errors import MMTransferError, unknown

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which all of torchvision's weights were trained with."""

Paths = list[list[str]]


@dataclass(frozen=True)
class Family:
    """`stages`: model -> child paths of each stage; `head`: prefix of the old head's tensors; `flatten`: path before
    which the map is pooled to the network's own size and flattened (VGG's wide linear layers)."""

    stages: Callable[[nn.Module], Paths]
    head: str
    flatten: str | None = None


class Stage(nn.Module):
    """Children of the library's model, one after the other."""

    def __init__(self, model: nn.Module, paths: list[str], flatten: str | None) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for path in paths:
            if path == flatten:
                self.parts["pool"], self.parts["flat"] = model.get_submodule("avgpool"), nn.Flatten()
            self.parts[path.replace(".", "_")] = model.get_submodule(path)

    def forward(self, state: State, context: Context) -> State:
        x = state["x"]
        for part in self.parts.values():
            x = part(x)
        return {**state, "x": x}


class VisionBackbone(Backbone):
    """A torchvision network without its head; pooled features are the mean over the map."""

    modality = "image"

    def __init__(self, name: str, model: nn.Module) -> None:
        family = FAMILIES[type(model)]
        super().__init__((Stage(model, paths, family.flatten) for paths in family.stages(model)), model)
        self.name = self.family = name
        self.heads = (family.head + ".",)
        self.config, self.preprocess = {}, {"mean": MEAN, "std": STD}
        self.width = _width(self)

    def pool(self, state: State) -> Tensor:
        x = state["x"]
        return x if x.dim() == 2 else x.mean((2, 3))


def _width(backbone: Backbone) -> int:
    """Size of the pooled features, from a small picture: SqueezeNet's last layers are side by side."""
    training = backbone.training
    with torch.no_grad():
        pooled = backbone.eval().pool(backbone.run({"x": torch.zeros(1, 3, 64, 64)}))
    backbone.train(training)
    return pooled.shape[1]


def _between(model: nn.Module, ends: Callable[[nn.Module, int], bool]) -> Paths:
    """Children of `model.features`, a new stage after each that `ends`."""
    stages: Paths = [[]]
    children = list(model.get_submodule("features").children())
    for number, child in enumerate(children):
        stages[-1].append(f"features.{number}")
        if ends(child, number) and number + 1 < len(children):
            stages.append([])
    return stages


def _is_pool(child: nn.Module, number: int) -> bool:
    return isinstance(child, nn.MaxPool2d)


def _vgg(model: nn.Module) -> Paths:
    """One stage per pooling block, then the two wide linear layers: the classic job replaces the last layer only."""
    wide = [[f"classifier.{n}" for n in range(3)], [f"classifier.{n}" for n in range(3, 6)]]
    return _between(model, _is_pool) + wide


def _halves(model: nn.Module) -> Callable[[nn.Module, int], bool]:
    """Ends a stage before each block that halves the map (MobileNet v2's strides)."""
    children = list(model.get_submodule("features").children())

    def strided(child: nn.Module) -> bool:
        return any(isinstance(part, nn.Conv2d) and part.stride[0] == 2 for part in child.modules())

    return lambda child, number: number + 1 < len(children) and strided(children[number + 1])


_RESNET: Paths = [["conv1", "bn1", "relu", "maxpool"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]]

FAMILIES: Mapping[type[nn.Module], Family] = {
    torchvision.models.VGG: Family(_vgg, "classifier.6", "classifier.0"),
    torchvision.models.ResNet: Family(lambda model: _RESNET, "fc"),
    torchvision.models.MobileNetV2: Family(lambda model: _between(model, _halves(model)), "classifier"),
    torchvision.models.SqueezeNet: Family(lambda model: _between(model, _is_pool), "classifier"),
}


def names() -> list[str]:
    """torchvision's classification networks that have a family here."""
    modules = {family.__module__ for family in FAMILIES}
    return [
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if torchvision.models.get_model_builder(name).__module__ in modules
    ]


def load(name: str, weights: str | None) -> VisionBackbone:
    """A torchvision network; `weights`: None for torchvision's default, the name of one of its weights, or `none`."""
    tensors, source = (None, "random weights") if weights == "none" else _published(name, weights or "DEFAULT")
    backbone = VisionBackbone(name, torchvision.models.get_model(name, weights=None))
    backbone.source = source
    if tensors is not None:
        backbone.adopt(tensors, source)
    return backbone


def _published(name: str, weights: str) -> tuple[dict[str, Any], str]:
    """torchvision's own weights, downloaded by torchvision."""
    table = torchvision.models.get_model_weights(name)
    member = weights.rsplit(".", 1)[-1]
    if member not in table.__members__:
        options = ["none", *table.__members__, "a .pth or .safetensors file"]
        raise unknown(f"weights of {name}", weights, options, f"--weights {weights}")
    entry = table[member]
    try:
        return dict(entry.get_state_dict(progress=False, check_hash=True)), f"torchvision {entry}"
    except (URLError, OSError, RuntimeError) as error:
        raise MMTransferError(
            f"Could not download {entry.url} ({error})",
            f"--backbone {name}, --weights {weights}",
            "give --weights FILE (a .pth or .safetensors file on this machine) or --weights none, "
            "or the local folder of a run as --backbone",
        ) from None
