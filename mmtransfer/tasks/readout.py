"""What a head sees of the last stage's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from mmtransfer.backbones.staged import Backbone, State
from mmtransfer.tasks.base import Reads

FIRSTS = "firsts"
"""In a state: of each word the number of its first token, from 1; 0 is padding."""
UNREAD = -1
"""There: of a word that has no token, or lies behind the longest text. A head then has its bias alone to go by."""


def pooled(backbone: Backbone, state: State) -> State:
    """One vector an example, (batch, width)."""
    return {"x": backbone.pool(state)}


def frames(backbone: Backbone, state: State) -> State:
    """All positions, (batch, positions, width), with lengths."""
    return {"x": state["x"], "lengths": state["lengths"]}


def tokens(backbone: Backbone, state: State) -> State:
    """The first token of each word, (batch, words, width), zeros where it is not read, with the numbers of words."""
    firsts, x = state[FIRSTS], state["x"]
    places = (firsts - 1).clamp(min=0)[..., None].expand(-1, -1, x.shape[-1])
    words = x.gather(1, places) * (firsts > 0)[..., None].to(x.dtype)
    return {"x": words, "lengths": torch.count_nonzero(firsts, 1)}


READOUTS: Mapping[Reads, Callable[[Backbone, State], State]] = {"pooled": pooled, "frames": frames, "tokens": tokens}
"""By what a target's head reads."""
