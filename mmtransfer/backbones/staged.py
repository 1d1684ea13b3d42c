"""A backbone as an ordered list of stages over a state, so that it can be cut, frozen and cached between any two."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmtransfer.backbones.adapters import Adapter
from mmtransfer.errors import MMTransferError

logger = logging.getLogger("mmtransfer")

State = dict[str, Tensor]
"""`x`, batch first: pixels (batch, 3, height, width), token ids (batch, tokens) or samples (batch, samples), then
features; `lengths` (batch,) valid positions of `x` where they vary; `types` (batch, tokens) the text of a pair that a
token belongs to, 0 or 1; `masked` (batch, frames) frames that training hides."""

NORMALISATION = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)
"""Layers whose scales and shifts are a `norm`."""

Context = dict[str, Any]
"""What every layer needs but can be rebuilt from the state: masks, position biases."""


class Backbone(nn.Module):
    """Base of all backbones: stages, each `(state, context) -> state`.

    `width`: size of the last axis of the features; `depth`: stages that are run, all of them unless features are taken
    of an earlier one; `preprocess`: what encoding needs (mean and std; sample rate);
    `tokenizer`: of text, else None; `pooling`: of text, how features become one vector, else empty; `positions`: most
    tokens of one text, None without a limit; `mask_prob`: share of the input masked in training (speech); `library`:
    class of transformers that the stages are carved from, else empty; `heads`: how names of the library's tensors begin
    that a backbone does not have; `targets`: how the paths of the linear layers of attention and MLP end, which may get
    adapters; `own_crop`: whether pictures are cropped as `preprocess` says.
    """

    name = ""
    modality = ""
    family = ""
    source = ""
    width: int
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    tokenizer: Any = None
    pooling: str = ""
    positions: int | None = None
    library: str = ""
    mask_prob: float = 0.0
    heads: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    own_crop: bool = False
    storable: bool = True
    """Whether what it computes may be kept for later runs: its code is that of its family."""
    recordable: bool = True
    """Whether what its passes launch on a device depends on shapes alone, not on values that the host reads back."""

    def __init__(self, stages: Iterable[nn.Module], library: nn.Module) -> None:
        """`library`: the model whose modules the stages are made of; its names are those of `library_state`."""
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.depth = len(self.stages)
        self._frozen: frozenset[int] = frozenset()
        self._whole = True
        theirs = {id(value): name for name, value in _tensors(library)}
        self._library_names = {name: theirs[id(value)] for name, value in _tensors(self)}

    def run(self, state: State, start: int = 0, stop: int | None = None) -> State:
        """Stages `start` up to `stop` (`depth` if None) on a state; the state given is left as it is."""
        context = self.context(state, start)
        for stage in self.stages[start : self.depth if stop is None else stop]:
            state = stage(state, context)
        return state

    def context(self, state: State, start: int) -> Context:
        """What the layers from `start` on need beside the state; nothing by default."""
        return {}

    def pool(self, state: State) -> Tensor:
        """Features of the last stage that is run -> (batch, width)."""
        raise TypeError(f"{type(self).__name__} has no pooled features")

    @property
    def vocabulary(self) -> nn.Embedding | None:
        """The embeddings of the words that the first stage looks up there and nowhere else; None where it has none."""
        return None

    def torch(self) -> nn.Module:
        """A plain module from a tensor to pooled features (batch, width): `plain.PooledFeatures`."""
        from mmtransfer.backbones.plain import PooledFeatures

        return PooledFeatures(self)

    def lengths(self, input_lengths: Tensor) -> Tensor:
        """Valid positions after the last stage, from those of the input."""
        return input_lengths

    def freeze(self, stages: Collection[int], part: str = "all") -> None:
        """Freezes these stages, and no others: no gradient, and eval mode that `train()` does not undo.

        `part`: what of the other stages trains, `all`, their `bias`es, their `norm`alisation or their `adapters`; where
        it is not all, running statistics stay still as well. BatchNorm without gradient would still move them in
        training mode (pytorch/pytorch#66073).
        """
        self._frozen, self._whole = frozenset(stages), part == "all"
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(self._whole and number not in self._frozen)
        if not self._whole:
            for name in self.selected(set(range(len(self.stages))) - self._frozen, part):
                self.get_parameter(name).requires_grad_(True)
        self._settle()
        self.train(self.training)

    def selected(self, stages: Collection[int], part: str) -> list[str]:
        """Names of the tensors that training a part of these stages changes; of `all` of them buffers too."""
        if part == "all":
            kept = {f"stages.{stage}" for stage in stages}
            return [name for name in self.state_dict() if ".".join(name.split(".")[:2]) in kept]
        return [
            f"stages.{stage}.{place}.{name}" if place else f"stages.{stage}.{name}"
            for stage in sorted(stages)
            for place, module in self.stages[stage].named_modules()
            for name, _ in module.named_parameters(recurse=False)
            if PARTS[part](module, name)
        ]

    def _settle(self) -> None:
        """Called after requires_grad was set: a family takes back what must not train."""

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for number in self._frozen:
            self.stages[number].eval()
        if not self._whole:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def library_state(self) -> dict[str, Tensor]:
        """Parameters and buffers under the library's own names, contiguous; without adapters."""
        return {name: value.detach().contiguous() for name, value in self._library_tensors().items()}

    def _library_tensors(self) -> dict[str, Tensor]:
        state = self.state_dict()
        return {theirs: state[name] for name, theirs in self._library_names.items()}

    def library_name(self, name: str) -> str:
        """The library's name of a tensor of its own."""
        return self._library_names[name]

    def load_library_state(self, state: Mapping[str, Tensor], where: str) -> None:
        """Takes tensors under the library's names; raises MMTransferError for missing, unexpected or misshapen ones."""
        own = self._library_tensors()
        # a counter that torchvision's older files do not have, and that nothing reads while momentum is a number
        counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
        state = {**counters, **state}
        refuse_mismatch(own, state, where)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(state[name])

    def adopt(self, state: Mapping[str, Tensor], where: str) -> None:
        """Takes somebody's checkpoint: old names are put right, heads dropped aloud; the rest must fit exactly."""
        old = {name: value for name, value in state.items() if self.is_head(name)}
        body = {self.own_name(name): value for name, value in state.items() if name not in old}
        if old:
            shapes = [f"{name} {tuple(value.shape)}" for name, value in old.items()]
            logger.info("dropped the old head: %s", ", ".join(shapes))
        self.load_library_state(body, where)

    def own_name(self, name: str) -> str:
        """A tensor's name in a checkpoint -> its name in the library's model that the stages are made of."""
        return name

    def is_head(self, name: str) -> bool:
        """Whether a tensor of a checkpoint belongs to what a backbone does not have."""
        return self.own_name(name).startswith(self.heads)

    def describe(self) -> dict[str, Any]:
        """All that `rebuild` needs to make the same architecture without weights, as JSON."""
        return {
            "name": self.name,
            "modality": self.modality,
            "family": self.family,
            "source": self.source,
            "config": dict(self.config),
            "preprocess": dict(self.preprocess),
            "pooling": self.pooling,
            "depth": self.depth,
            "width": self.width,
        }


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in module.state_dict(keep_vars=True).items()]


def refuse_mismatch(own: Mapping[str, Tensor], given: Mapping[str, Tensor], where: str) -> None:
    """Raises MMTransferError that lists missing, unexpected and misshapen tensors."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    found = [
        f"{len(names)} {kind}: {', '.join(names[:10])}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", shapes))
        if names
    ]
    if found:
        raise MMTransferError(
            f"The weights are not this backbone's: {'; '.join(found)}",
            where,
            "check that --backbone and --weights agree",
        )


def _normalises(module: nn.Module) -> bool:
    """Whether a layer is a normalisation, of torch or a class of the library's own, such as LlamaRMSNorm."""
    return isinstance(module, NORMALISATION) or type(module).__name__.endswith("Norm")


PARTS: Mapping[str, Callable[[nn.Module, str], bool]] = {
    "bias": lambda module, name: name.endswith("bias"),
    "norm": lambda module, name: _normalises(module),
    "adapters": lambda module, name: isinstance(module, Adapter),
}
"""Parts of stages: whether a parameter of this name in its module belongs to one."""
