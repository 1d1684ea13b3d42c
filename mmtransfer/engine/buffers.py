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
        self.tensors = list(tensors)
        self.before = [torch.empty_like(tensor) for tensor in self.tensors]

    @torch.no_grad()
    def keep(self) -> None:
        """Remembers what they hold now; one copy for all, because a network has a hundred small ones."""
        if self.tensors:
            torch._foreach_copy_(self.before, self.tensors)

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was kept last."""
        if self.tensors:
            torch._foreach_copy_(self.tensors, self.before)
