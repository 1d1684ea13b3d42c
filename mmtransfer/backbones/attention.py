"""Attention of transformers' layers: PyTorch's own; in bf16 or with dropout on a CPU two products and a softmax.

There PyTorch's kernels take up to twice and a half as long, for short texts in bf16 six times: benchmarks/attention.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmtransfer.backbones.dropout import kept

ATTENTION = "mmtransfer"
"""Under which transformers knows it."""


def register() -> str:
    """Makes it known to transformers; returns its name there."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)
    return ATTENTION


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What a layer's queries find, (batch, positions, heads, width), as transformers asks for it.

    `query`, `key` and `value`: (batch, heads, positions, width); `attention_mask`: where to look, boolean, such as
    (batch, 1, 1, positions), or None: everywhere.
    """
    plain = not others.get("is_causal") and others.get("position_bias") is None and key.shape == query.shape
    masked = attention_mask is not None or not getattr(module, "is_causal", False)
    boolean = attention_mask is None or attention_mask.dtype == torch.bool
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    slow = query.device.type == "cpu" and (dtype == torch.bfloat16 or dropout > 0)
    if slow and plain and masked and boolean:
        return by_products(query, key, value, attention_mask, dropout, scaling), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others)


def by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float = 0.0, scaling: float | None = None
) -> Tensor:
    """A product, a softmax, a product; arguments and what is returned as of `attend`."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(2, 3))
    if mask is not None:  # adding is faster than filling; where there is nothing to look at all is alike, not NaN
        scores = scores + torch.where(mask, 0.0, torch.finfo(scores.dtype).min).to(scores.dtype)
    weights = torch.softmax(scores, -1)
    if dropout:
        weights = weights * kept(weights, dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous()
