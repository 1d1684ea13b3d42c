"""timm's image networks as backbones, `timm:NAME`: its plain ViTs a stage a block, all others as one stage.

timm is an extra, `pip install 'mmtransfer[timm]'`, and imported where a backbone asks for it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmtransfer import hub
from mmtransfer.backbones.image_encoders import Layer
from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.errors import MMTransferError, unknown

FAMILY = "timm"
PREFIX = FAMILY + ":"


class Tokens(nn.Module):
    """Pixels (batch, 3, side, side) -> (batch, tokens, width)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        parameters = [name for name, _ in model.named_parameters(recurse=False)]
        self.part = _part(model, ("patch_embed", "pos_drop", "patch_drop", "norm_pre"), parameters)

    def forward(self, state: State, context: Context) -> State:
        part: Any = self.part
        return {**state, "x": part.norm_pre(part.patch_drop(part._pos_embed(part.patch_embed(state["x"]))))}


class Pooled(nn.Module):
    """Tokens of the last block -> (batch, width), as timm's classifier reads them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.part = _part(model, ("norm", "attn_pool", "fc_norm", "head_drop"))

    def forward(self, x: Tensor) -> Tensor:
        part: Any = self.part
        return part.forward_head(part.norm(x), pre_logits=True)


def _part(model: nn.Module, modules: Sequence[str], parameters: Sequence[str] = ()) -> nn.Module:
    """timm's own code on some of its modules and parameters: a network without the others."""
    part = copy.copy(model)
    part._modules = {name: module for name, module in model._modules.items() if name in modules}
    part._parameters = {name: value for name, value in model._parameters.items() if name in parameters}
    return part


class TimmBackbone(Backbone):
    """A network of timm without its classifier. Pooled features are what the classifier reads."""

    modality = "image"
    family = FAMILY
    own_crop = True
    targets = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")

    def __init__(self, architecture: str, model: Any) -> None:
        import timm
        from timm.models import VisionTransformer

        staged = type(model) is VisionTransformer  # a subclass runs other code between the blocks
        blocks = list(model.blocks) if staged else []
        layers = [*map(Layer, blocks[:-1]), Layer(blocks[-1], Pooled(model))] if staged else [Layer(model)]
        super().__init__([Tokens(model), *layers] if staged else layers, model)
        self.name, self.width = PREFIX + architecture, int(model.head_hidden_size)
        self.config = {"architecture": architecture, "timm": timm.__version__}
        self.preprocess = _preprocess(architecture, model)
        classifier = model.pretrained_cfg.get("classifier") or ()
        self.heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
        self._first = staged and model.global_pool == "token"
        self._prefix = int(model.num_prefix_tokens) if staged else 0

    def pool(self, state: State) -> Tensor:
        x = state["x"]
        if x.dim() == 2:
            return x
        return x[:, 0] if self._first else x[:, self._prefix :].mean(1)


def _preprocess(architecture: str, model: Any) -> dict[str, Any]:
    from timm.data import resolve_model_data_config

    data = resolve_model_data_config(model)
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        raise MMTransferError(
            f"{architecture} takes {channels} x {height} x {width} pixels, not squares of three channels",
            f"--backbone {PREFIX}{architecture}",
            "choose another network",
        )
    fixed = bool(model.pretrained_cfg.get("fixed_input_size"))
    size = {"image_size": height, "crop_pct": data["crop_pct"], "fixed_size": fixed}
    return {"mean": tuple(data["mean"]), "std": tuple(data["std"]), **size}


def is_timm(name: str) -> bool:
    """Whether a backbone's name is one of timm's: `timm:NAME`."""
    return name.startswith(PREFIX)


def check(name: str) -> None:
    """Raises MMTransferError where timm is not installed, or has no such network."""
    timm, architecture = _timm(name), name.removeprefix(PREFIX)
    if not timm.is_model(architecture.partition(".")[0]):
        raise unknown("network of timm", architecture, timm.list_models(), f"--backbone {name}")


def load_network(name: str, weights: str | None) -> TimmBackbone:
    """A network with timm's published weights, or with random ones; `weights`: None or `none`."""
    check(name)
    architecture = name.removeprefix(PREFIX)
    if weights == "none":
        return build({"architecture": architecture})
    backbone = TimmBackbone(architecture, _created(architecture, pretrained=True, **_cached(architecture)))
    backbone.source = name
    return backbone


def build(config: Mapping[str, Any]) -> TimmBackbone:
    """A network with random weights; `config`: that of a backbone."""
    architecture = str(config["architecture"])
    _timm(PREFIX + architecture)
    backbone = TimmBackbone(architecture, _created(architecture, pretrained=False))
    backbone.source = "random weights"
    return backbone


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise MMTransferError(
            "timm is not installed", f"--backbone {name}", "pip install 'mmtransfer[timm]'"
        ) from error
    return timm


def _created(architecture: str, **options: Any) -> Any:
    import timm

    try:
        return timm.create_model(architecture, num_classes=0, **options)
    except Exception as error:  # whatever a download, or a name without weights, makes timm raise
        raise _out_of_reach(architecture, str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def _cached(architecture: str) -> dict[str, Any]:
    """Options of timm for weights that are in the hub's cache, where the hub does not answer."""
    from huggingface_hub import try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    if hub.reachable():
        return {}
    published = get_pretrained_cfg(architecture)
    repository = published.hf_hub_id if published is not None else None
    file = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    if not isinstance(file, str):
        raise _out_of_reach(architecture, f"not in the local cache, and {hub.endpoint()} is out of reach")
    return {"pretrained_cfg_overlay": {"file": file}}


def _out_of_reach(architecture: str, reason: str) -> MMTransferError:
    return MMTransferError(
        f"Could not get timm's {architecture}: {reason}",
        f"--backbone {PREFIX}{architecture}",
        "give --weights FILE (a .pth or .safetensors file on this machine) or --weights none",
    )
