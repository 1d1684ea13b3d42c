"""Backbones that are not of this package: modules of Python (`wrap`), and those of other packages (entry points)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, Context, State
from mmtransfer.backbones.text import mean as mean_of_valid
from mmtransfer.backbones.text import unit, valid
from mmtransfer.errors import MMTransferError
from mmtransfer.registry import Registry

PREFIX = "python:"
"""How the names of modules begin that Python has given."""
MODULE, POINT = "module", "entry-point"
"""Families of backbones, in backbone.json: of a module that Python has given, of another package."""
COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's pixels, by which most image networks are trained."""
Modality = Literal["image", "text", "speech"]
Pool = Callable[[Tensor], Tensor]


def _admitted(name: str, found: Any) -> Callable[[], Backbone]:
    if not callable(found):
        raise TypeError("it must be a function without arguments that gives a Backbone, such as one of `wrap`")
    return found


POINTS: Registry[Callable[[], Backbone]] = Registry("backbone", "--backbone", "mmtransfer.backbones", _admitted)
"""Of other packages: functions that make a backbone with its weights."""
_MODULES: dict[str, tuple[nn.Module, Backbone]] = {}
"""What Python has given, by name, and the backbone made of it, for as long as the process lives: runs of it are opened
again."""


def wrap(
    module: nn.Module,
    modality: Modality,
    pool: Pool | None = None,
    tokenizer: Any = None,
    image_size: int = 224,
    mean: Sequence[float] = COLOURS[0],
    std: Sequence[float] = COLOURS[1],
    sample_rate: int = 16_000,
    normalise: bool = True,
) -> Backbone:
    """A module as a backbone of one stage, for `fit(backbone=...)`; a copy of it is trained, itself it stays as it is.

    Args:
        module: takes a tensor: normalised pixels (batch, 3, height, width) or samples (batch, samples), which go
            through it one by one where they differ in length; of text token ids and a mask, both (batch, tokens). It
            gives features (batch, width), maps (batch, channels, height, width) of pictures, or positions (batch,
            positions, width); as a tensor, as the first of several, or as `last_hidden_state`.
        modality: what it sees.
        pool: what the module gives -> (batch, width); None: the mean over a map, and over the positions that hold
            anything.
        tokenizer: of text, one of transformers.
        image_size, mean, std: of pictures, pixels of a side and the normalisation of pixels in 0..1.
        sample_rate, normalise: of recordings, samples a second, and whether each is brought to mean 0 and deviation 1.

    Raises MMTransferError for a module that does not take such a tensor, and for text without a tokenizer.

    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> backbone = wrap(net, "image", pool=lambda maps: maps.amax((2, 3)), image_size=32)
    >>> backbone.width, len(backbone.stages), backbone.torch()(torch.zeros(2, 3, 32, 32)).shape
    (8, 1, torch.Size([2, 8]))
    """
    preprocess: dict[Modality, dict[str, Any]] = {
        "image": {"image_size": image_size, "crop_pct": 0.875, "mean": list(mean), "std": list(std)},
        "text": {},
        "speech": {"sample_rate": sample_rate, "normalise": normalise},
    }
    if modality not in preprocess:
        raise MMTransferError(f"A module sees no {modality}", "modality", f"give one of {', '.join(preprocess)}")
    if modality == "text" and tokenizer is None:
        raise MMTransferError(
            "A module for texts needs the tokenizer of its token ids",
            f"backbone {type(module).__name__}",
            'give mmtransfer.backbones.wrap(module, "text", tokenizer=...)',
        )
    return ModuleBackbone(copy.deepcopy(module), modality, pool, tokenizer, preprocess[modality])


class ModuleBackbone(Backbone):
    """A module of Python as one stage. What is computed with it is not kept between runs: nobody can tell whether its
    code is still the same."""

    family = MODULE
    pooling = "mean"
    storable = False

    def __init__(
        self, module: nn.Module, modality: Modality, pool: Pool | None, tokenizer: Any, preprocess: Mapping[str, Any]
    ) -> None:
        super().__init__([_Whole(module, modality)], module)
        self.modality, self.tokenizer, self.preprocess = modality, tokenizer, preprocess
        self.recordable = modality != "speech"  # recordings go through it one by one
        self.name = self.source = PREFIX + type(module).__name__
        self.config = {"module": self.name}
        self._pool = pool
        self.width = self._width()

    def pool(self, state: State) -> Tensor:
        x = state["x"]
        if self._pool is not None:
            return self._pool(x)
        if x.dim() == 4:
            return x.mean((2, 3))
        if x.dim() == 3:
            first, last = self.pooling == "cls", self.pooling == "last"
            if first or last:
                places = torch.zeros(len(x), dtype=torch.long) if first else state["lengths"].clamp(min=1) - 1
                return x[torch.arange(len(x), device=x.device), places.to(x.device)]
            if "lengths" not in state:
                return x.mean(1)
            return unit(state) if self.pooling == "unit" else mean_of_valid(state)
        return x

    def _width(self) -> int:
        """Of the features of an example made up here."""
        state: dict[str, Tensor] = {"x": torch.zeros(2, 16_000), "lengths": torch.tensor([16_000, 8_000])}
        if self.modality == "image":
            side = self.preprocess["image_size"]
            state = {"x": torch.zeros(2, 3, side, side)}
        elif self.modality == "text":
            ids = self.tokenizer(["a", "a b"], padding=True, return_tensors="pt")["input_ids"]
            state = {"x": ids, "lengths": torch.full((2,), ids.shape[1])}
        was, shape = self.training, tuple(state["x"].shape)
        self.eval()
        try:
            with torch.no_grad():
                pooled = self.pool(self.run(state))
        except Exception as error:  # whatever a module makes of what it does not expect
            raise MMTransferError(
                f"{self.name} does not take {shape}: {next(iter(str(error).splitlines()), type(error).__name__)}",
                "backbone",
                "give mmtransfer.backbones.wrap(module, ...) with what it needs",
            ) from error
        self.train(was)
        if pooled.dim() != 2 or len(pooled) != 2:
            raise MMTransferError(
                f"{self.name} gives {tuple(pooled.shape)} for {shape}, and not one vector an example",
                "backbone",
                "give mmtransfer.backbones.wrap(module, ..., pool=FUNCTION)",
            )
        return int(pooled.shape[1])


class _Whole(nn.Module):
    """The whole module as a stage."""

    def __init__(self, module: nn.Module, modality: Modality) -> None:
        super().__init__()
        self.module, self.modality = module, modality

    def forward(self, state: State, context: Context) -> State:
        x = state["x"]
        if self.modality == "image":
            return {**state, "x": _tensor(self.module(x))}
        lengths = state["lengths"]
        if self.modality == "text":
            return {**state, "x": _tensor(self.module(x, valid(lengths, x.shape[1]).long()))}
        if len(x) == 1 or bool((lengths == x.shape[1]).all()):
            found = _tensor(self.module(x))
            counts = torch.full_like(lengths, found.shape[1])
            return {**state, "x": found, "lengths": counts if found.dim() == 3 else lengths}
        # what a module makes of padding nobody knows: recordings that differ in length go through it one by one
        parts = [_tensor(self.module(one[None, : int(length)]))[0] for one, length in zip(x, lengths, strict=True)]
        if parts[0].dim() == 1:
            return {**state, "x": torch.stack(parts)}
        counts = torch.tensor([len(part) for part in parts], device=lengths.device)
        return {**state, "x": nn.utils.rnn.pad_sequence(parts, batch_first=True), "lengths": counts}


def _tensor(found: Any) -> Tensor:
    if hasattr(found, "last_hidden_state"):
        found = found.last_hidden_state
    found = found[0] if isinstance(found, tuple | list) else found
    if not isinstance(found, Tensor):
        raise TypeError(f"a module must give a tensor, not a {type(found).__name__}")
    return found


def is_outside(name: str) -> bool:
    """Whether a name is that of a backbone that is not of this package."""
    return name.startswith(PREFIX) or name in POINTS


def offer(given: nn.Module, modality: str, name: str | None = None, **shape: Any) -> str:
    """Takes a module, or a backbone of `wrap`, under a name, or one of its own; returns that. `shape`: of a module, as
    `wrap` takes it."""
    backbone = given if isinstance(given, Backbone) else wrap(given, modality, **shape)  # type: ignore[arg-type]
    own = name or next(name for name in _names(backbone.name) if name not in _MODULES or _MODULES[name][0] is given)
    backbone = copy.deepcopy(backbone)
    backbone.name = backbone.source = own
    if isinstance(backbone, ModuleBackbone):
        backbone.config = {"module": own}
    _MODULES[own] = (given, backbone)
    return own


def lend(given: nn.Module, described: Mapping[str, Any], where: str) -> None:
    """Takes the module of a run that was made with one in another process. Raises MMTransferError where the run's
    backbone is none. `described`: its backbone.json."""
    name = described["config"].get("module") if described["family"] == MODULE else None
    if name is None:
        raise MMTransferError("The run's backbone is no module of Python", where, "leave backbone out")
    shape = {"image_size": described["preprocess"]["image_size"]} if described["modality"] == "image" else {}
    offer(given, described["modality"], str(name), **shape)


def _names(name: str) -> Iterator[str]:
    """A name, and those that another one of it may have."""
    name = name if name.startswith(PREFIX) else PREFIX + name
    return itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))


def load(name: str, random: bool = False) -> Backbone:
    """A new copy of a backbone by its name. Raises MMTransferError where Python has not given it, and for random
    weights, which its maker alone could draw."""
    if random:
        raise MMTransferError(
            f"{name} has no random weights of its own: it starts with those that it has",
            "--weights none",
            "leave it out, and scratch too; draw them before you give it",
        )
    if name in _MODULES:
        return copy.deepcopy(_MODULES[name][1])
    if name.startswith(PREFIX):
        raise MMTransferError(
            "The backbone is a module of Python, which no file holds",
            f"--backbone {name}",
            "in Python, give the module: mmtransfer.load(RUN, backbone=module)",
        ) from ModuleNotFoundError(name)
    return _of_point(name)


def _of_point(name: str) -> Backbone:
    backbone = POINTS[name]()
    if not isinstance(backbone, Backbone):
        raise MMTransferError(
            f"The backbone {name!r} is a {type(backbone).__name__}, and no Backbone",
            f"--backbone {name}",
            'have its function return mmtransfer.backbones.wrap(module, "image"), for one',
        )
    backbone.name = backbone.source = name
    backbone.family, backbone.config, backbone.storable = POINT, {"entry_point": name}, False
    return backbone


def rebuild(family: str, config: Mapping[str, Any]) -> Backbone:
    """The backbone of a run's description. Raises MMTransferError where Python has not given it, or its package is not
    installed."""
    if family == MODULE:
        return load(str(config["module"]))
    name = str(config["entry_point"])
    if name not in POINTS:
        raise MMTransferError(
            f"The backbone {name!r} is of a package that is not installed", f"--backbone {name}", "install it"
        ) from ModuleNotFoundError(name)
    return _of_point(name)
