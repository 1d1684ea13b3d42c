"""Low-rank adapters inside the linear layers of a backbone's stages, and the files in which peft keeps such.

The layers stay the library's own, under their own names, with the adapter as a child; a hook adds what it computes. So
a stage with adapters is trained, cached and cut like any other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmtransfer.errors import MMTransferError

if TYPE_CHECKING:
    from mmtransfer.backbones.staged import Backbone

CHILD = "adapter"
"""The name of an adapter in its layer."""


class Adapter(nn.Module):
    """LoRA: x (..., inputs) W' -> x (W + alpha / rank B A)' (Hu et al. 2022), at first 0 beside W.

    Args:
        layer: a linear layer, whose weight stays as it is.
        rank: columns of B (outputs, rank) and rows of A (rank, inputs).
        alpha: of the factor before their product.
        dropout: probability of dropping an input of the adapter in training.
        dora: whether the length of each output's weights is learnt beside their direction (DoRA, Liu et al. 2024); the
            gradient takes the length of the sum for a constant, as they do in 4.3.
    """

    def __init__(self, layer: nn.Module, rank: int, alpha: float, dropout: float, dora: bool) -> None:
        super().__init__()
        weight = weight_of(layer)
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.A = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.B = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.magnitude = nn.Parameter(weight.detach().norm(dim=1)) if dora else None
        self.hook = layer.register_forward_hook(_adapted)

    def forward(self, x: Tensor, output: Tensor, layer: Any) -> Tensor:
        """`output` of the layer for `x`, adapted."""
        dropped = functional.dropout(x, self.dropout, self.training)
        added = functional.linear(functional.linear(dropped, self.A), self.B) * (self.alpha / self.rank)
        if self.magnitude is None:
            return output + added
        length = (weight_of(layer) + self.change()).norm(dim=1).detach()
        bias = 0.0 if layer.bias is None else layer.bias
        return ((self.magnitude / length) * (output - bias + added) + bias).to(output.dtype)

    def change(self) -> Tensor:
        """What LoRA adds to the weight (outputs, inputs)."""
        return self.B @ self.A * (self.alpha / self.rank)

    @torch.no_grad()
    def merge_into(self, layer: nn.Module) -> None:
        """Makes the layer's own weight what the two compute together."""
        weight = weight_of(layer)
        whole = weight + self.change()
        if self.magnitude is not None:
            whole = whole * (self.magnitude / whole.norm(dim=1))[:, None]
        weight.copy_(whole)


def _adapted(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    adapter: Any = layer.get_submodule(CHILD)
    return adapter(inputs[0], output, layer)


def weight_of(layer: Any) -> Tensor:
    """The weight of a linear layer as (outputs, inputs): GPT-2's have theirs the other way round."""
    weight: Tensor = layer.weight
    return weight if type(layer) is nn.Linear else weight.T


def attach(backbone: Backbone, stages: Collection[int], rank: int, alpha: float, dropout: float, dora: bool) -> None:
    """Gives an adapter to each linear layer of these stages that the family declares as a target.

    Raises MMTransferError where it declares none, or none in these stages, or for a rank that is no low one.
    """
    layers = [layer for stage in sorted(stages) for layer in _targets(backbone, stage)]
    if not layers:
        raise MMTransferError(
            f"{backbone.name} has no linear layers of attention or MLP for adapters in the stages that train",
            "--strategy",
            "give bitfit, norm, partial or full, or another backbone",
        )
    smallest = min(min(weight_of(layer).shape) for layer in layers)
    if rank > smallest:
        raise MMTransferError(
            f"Rank {rank} is no lower than that of the layers, {smallest}", "--strategy.rank", f"give 1 to {smallest}"
        )
    for layer in layers:
        layer.add_module(CHILD, Adapter(layer, rank, alpha, dropout, dora))


def _targets(backbone: Backbone, stage: int) -> list[nn.Module]:
    endings = tuple(f".{target}" for target in backbone.targets)
    return [
        module
        for name, module in backbone.stages[stage].named_modules()
        # of these types alone is it known that they are called, and not their weights read by other code
        if f".{name}".endswith(endings) and (type(module) is nn.Linear or type(module).__name__ == "Conv1D")
    ]


def adapted(backbone: nn.Module) -> Iterator[tuple[str, nn.Module, Adapter]]:
    """The layers that have an adapter: path, layer, adapter."""
    for name, module in backbone.named_modules():
        child = dict(module.named_children()).get(CHILD)
        if isinstance(child, Adapter):
            yield name, module, child


def merge(backbone: nn.Module) -> None:
    """Folds all adapters into the weights of their layers, which count as trained from then on."""
    for _, layer, adapter in list(adapted(backbone)):
        adapter.merge_into(layer)
        adapter.hook.remove()
        delattr(layer, CHILD)
        layer.get_parameter("weight").requires_grad_(True)


def export(backbone: Backbone) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """adapter_config.json and the tensors of adapter_model.safetensors, as `peft.PeftModel.from_pretrained` reads them
    onto the library's model that the stages are made of; None without adapters."""
    layers = {
        backbone.library_name(f"{name}.weight").removesuffix(".weight"): (a, b) for name, a, b in adapted(backbone)
    }
    if not layers:
        return None
    tensors: dict[str, Tensor] = {}
    for path, (_, adapter) in layers.items():
        parts = {"lora_A.weight": adapter.A, "lora_B.weight": adapter.B}
        if adapter.magnitude is not None:
            parts["lora_magnitude_vector"] = adapter.magnitude
        tensors |= {f"base_model.model.{path}.{part}": value.detach().cpu() for part, value in parts.items()}
    layer, one = next(iter(layers.values()))
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": backbone.source,
        "r": one.rank,
        "lora_alpha": one.alpha,
        "lora_dropout": one.dropout,
        "use_dora": one.magnitude is not None,
        "target_modules": list(layers),
        "fan_in_fan_out": type(layer) is not nn.Linear,
        "bias": "none",
        "inference_mode": True,
    }
    return config, tensors
