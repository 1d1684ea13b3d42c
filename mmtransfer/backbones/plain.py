"""A backbone as a plain module of torch: from a tensor to a tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import Backbone


class PooledFeatures(nn.Module):
    """`forward(x, lengths=None)` -> features (batch, width); made by `Backbone.torch`, whose parameters it shares.

    `x`: normalised pixels (batch, 3, height, width), token ids (batch, tokens) or samples (batch, samples); `lengths`
    (batch,): of texts and recordings those without padding, all of `x` if None.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.backbone.pool(self.backbone.run(state_of(x, lengths, self.backbone.modality)))


def state_of(x: Tensor, lengths: Tensor | None, modality: str) -> dict[str, Tensor]:
    """The state that the first stage takes."""
    if modality == "image":
        return {"x": x}
    whole = torch.full((len(x),), x.shape[1], device=x.device)
    return {"x": x, "lengths": whole if lengths is None else lengths}
