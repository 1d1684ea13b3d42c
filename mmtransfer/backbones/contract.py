"""What every backbone promises, as one check that anybody can run on a backbone of their own.

from mmtransfer.backbones.contract import check_backbone
check_backbone(backbone, {"x": torch.randint(5, 100, (3, 9)), "lengths": torch.tensor([9, 5, 2])})
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone, State

TOLERANCE = 2e-5
"""Largest difference over the largest feature, in float32: GoogLeNet, the deepest without shortcuts, has 1.1e-5 on some
CPUs."""

Library = Callable[[dict[str, Tensor], State], Tensor]
"""(tensors under the library's names, one unpadded example) -> the library's own features of it."""


def check_backbone(backbone: Backbone, state: State, library: Library | None = None) -> int:
    """Checks a backbone on a batch, at every cut; returns the number of cuts, raises AssertionError where it fails.

    Args:
        backbone: in float32 on the CPU; a copy of it is checked, the backbone itself is left as it is.
        state: a batch of at least two examples; `lengths` should differ where the modality has them.
        library: the library's own forward, if there is one to compare with.

    In evaluation mode: a run cut at k equals the whole run bit for bit, and leaves the state given as it is; each
    example alone equals itself in the batch; an example alone equals the library's forward. Every parameter and buffer
    is in exactly one stage. Features are compared, never logits: random networks end in 1e12 or in 0.
    """
    backbone = copy.deepcopy(backbone)
    _settle_batch_norm(backbone, state)
    backbone.eval()
    _each_tensor_in_one_stage(backbone)
    with torch.no_grad():
        whole = backbone.run(state)
        for cut in range(len(backbone.stages) + 1):
            _cut_equals_whole(backbone, state, whole, cut)
        for number in range(len(state["x"])):
            _alone_equals_batched(backbone, state, whole, number)
        if library is not None:
            one = alone(state, 0)
            theirs = library(backbone.library_state(), one)
            _close(features(backbone, backbone.run(one))[0], theirs[0], "the library's own forward")
    return len(backbone.stages) + 1


def features(backbone: Backbone, state: State) -> Tensor:
    """What heads see: pooled features (batch, width); of speech the frames (batch, time, width)."""
    found = state["x"] if backbone.modality == "speech" else backbone.pool(state)
    _demand(found.shape[-1] == backbone.width, f"width is {backbone.width}, features have {found.shape[-1]}")
    return found


def alone(state: State, number: int) -> State:
    """One example of a batch, without its padding."""
    one = {name: value[number : number + 1] for name, value in state.items()}
    if "lengths" in one:
        one["x"] = one["x"][:, : int(one["lengths"])]
    return one


def _settle_batch_norm(backbone: Backbone, state: State) -> None:
    """Statistics of this very batch: with those of a new network (0, 1) activations explode with depth."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with torch.no_grad():
            backbone.train().run(state)


def _each_tensor_in_one_stage(backbone: Backbone) -> None:
    owners: Counter[int] = Counter()
    for stage in backbone.stages:
        owners.update({id(value) for value in (*stage.parameters(), *stage.buffers())})
    for name, value in (*backbone.named_parameters(), *backbone.named_buffers()):
        _demand(owners[id(value)] == 1, f"{name} is in {owners[id(value)]} stages, must be in one")


def _cut_equals_whole(backbone: Backbone, state: State, whole: State, cut: int) -> None:
    prefix = backbone.run(state, 0, cut)
    kept = {name: value.clone() for name, value in prefix.items()}
    found = backbone.run(prefix, cut)
    for name, value in whole.items():
        _demand(torch.equal(found[name], value), f"{name} cut at stage {cut} differs from the run as a whole")
    for name, value in kept.items():
        _demand(torch.equal(prefix[name], value), f"the run from stage {cut} on changed {name} of the state given")


def _alone_equals_batched(backbone: Backbone, state: State, whole: State, number: int) -> None:
    one = backbone.run(alone(state, number))
    single, batched = features(backbone, one)[0], features(backbone, whole)[number]
    if backbone.modality == "speech":
        frames = int(backbone.lengths(state["lengths"][number : number + 1]))
        counted = int(whole["lengths"][number])
        _demand(frames == counted == len(single), f"lengths() says {frames} frames, there are {counted}, {len(single)}")
        batched = batched[:frames]
    _close(single, batched, f"example {number} in the batch")


def _close(found: Tensor, expected: Tensor, what: str) -> None:
    _demand(found.shape == expected.shape, f"{tuple(found.shape)} instead of the {tuple(expected.shape)} of {what}")
    largest = float(expected.abs().max())
    difference = float((found - expected).abs().max())
    _demand(largest > 0, f"all features of {what} are 0: nothing to compare")
    # written so that NaN fails
    _demand(
        difference <= TOLERANCE * largest, f"differs from {what} by {difference:.1e}, largest feature {largest:.1e}"
    )


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
