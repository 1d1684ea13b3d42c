"""Heads: from features to outputs. They know nothing of mmtransfer's backbones and fit anybody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """One linear layer.

    Args:
        width: size of the last axis of the features.
        outputs: number of classes (or of real values).
        dropout: probability of dropping a feature in training mode; 0 by default.

    Shapes: (batch, width) -> (batch, outputs); any leading axes are kept. Weights start uniform in
    +-1/sqrt(width), biases at 0.

    >>> LinearHead(16, 3)(torch.randn(4, 16)).shape
    torch.Size([4, 3])
    """

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.dropout(features))


class MLPHead(nn.Module):
    """Linear layers with GELU between them.

    Args:
        width: size of the last axis of the features.
        outputs: number of classes (or of real values).
        hidden: sizes of the layers between; one layer as wide as the features by default.
        dropout: probability of dropping an input of a layer in training mode; 0.1 by default.

    Shapes: (batch, width) -> (batch, outputs); any leading axes are kept.

    >>> MLPHead(16, 3, hidden=[32, 8])(torch.randn(4, 5, 16)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, width: int, outputs: int, hidden: Sequence[int] | None = None, dropout: float = 0.1) -> None:
        super().__init__()
        sizes = [width, *(hidden if hidden is not None else [width])]
        layers: list[nn.Module] = []
        for size_in, size_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Dropout(dropout), nn.Linear(size_in, size_out), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(sizes[-1], outputs))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


HEADS: Mapping[str, Callable[[int, int], nn.Module]] = {"linear": LinearHead, "mlp": MLPHead}
"""By the name on the command line, heads of one output vector: (width, outputs) -> module."""


class CTCHead(nn.Module):
    """One linear layer and log-softmax over a vocabulary whose entry 0 is the blank (Graves et al. 2006).

    Args:
        width: size of the last axis of the features.
        vocabulary: number of symbols, blank included.
        dropout: probability of dropping a feature in training mode; 0 by default.

    Shapes: features (batch, frames, width), lengths (batch,) valid frames of each example or None for all ->
    log-probabilities (batch, frames, vocabulary), at least float32: `torch.nn.functional.ctc_loss` has no bfloat16
    kernel. Frames past an example's length say blank, so that a decoder that ignores lengths is right as well.

    >>> log_probs = CTCHead(16, 5)(torch.randn(1, 4, 16), torch.tensor([2]))
    >>> log_probs.shape, log_probs[0, 2:].argmax(-1)
    (torch.Size([1, 4, 5]), tensor([0, 0]))
    """

    def __init__(self, width: int, vocabulary: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, vocabulary)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        scores = self.linear(self.dropout(features))
        log_probs = scores.log_softmax(-1, torch.promote_types(scores.dtype, torch.float32))
        if lengths is None:
            return log_probs
        padding = torch.arange(features.shape[1], device=features.device) >= lengths[:, None]
        blank = torch.full_like(log_probs[0, 0], -1e4)
        blank[:1].zero_()  # assigning a number would copy it from the host, which cannot be recorded
        return torch.where(padding[..., None], blank, log_probs)
