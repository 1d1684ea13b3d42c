"""Running statistics, which a forward pass moves, with room to put them back."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Buffers:
    """Tensors, and a copy of each.

    Args:
        tensors: what moves; of any type and device, none is well.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # a network has a hundred small ones, which a GPU copies at once where all are of one type
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
        self.groups = [(group, [torch.empty_like(tensor) for tensor in group]) for group in by_dtype.values()]

    @torch.no_grad()
    def keep(self) -> None:
        """Remembers what they hold now."""
        for now, before in self.groups:
            torch._foreach_copy_(before, now)

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was kept last."""
        for now, before in self.groups:
            torch._foreach_copy_(now, before)
