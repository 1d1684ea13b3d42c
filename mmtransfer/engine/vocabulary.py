"""Of the words' embeddings only the rows that the training data read are trained: the others would not move anyway."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtransfer.engine.loading import Examples
from mmtransfer.engine.machine import Machine
from mmtransfer.engine.model import Model
from mmtransfer.strategies import Phase

logger = logging.getLogger("mmtransfer")
MOST = 0.8
"""Share of the rows that are read, above which the whole table is trained: little would be saved."""


class WordRows:
    """WordRows of a table of embeddings as a parameter that is trained in its place.

    A row that no training example reads has no gradient, no moments and, as embeddings are not decayed, no step: it
    ends as it began. Left out, it takes no time and no memory for gradient and moments either, which for a small
    network of many words is half of both, and what is trained is the same but for the rounding of the clipped norm.
    The table itself is brought up to date behind each step, so that whatever else reads it sees no difference.

    Args:
        table: of the backbone, on the device where it trains.
        read: numbers of the rows (rows,), ascending.
    """

    def __init__(self, table: nn.Embedding, read: Tensor) -> None:
        self.table, self.read = table, read
        self.trained = nn.Parameter(table.weight.detach()[read])
        self.place = torch.zeros(table.num_embeddings, dtype=torch.int64, device=read.device)
        self.place[read] = torch.arange(len(read), device=read.device)
        padding = table.padding_idx
        self.padding = None if padding is None else int(self.place[padding])

    @classmethod
    def of(cls, model: Model, phase: Phase, examples: Examples, machine: Machine) -> WordRows | None:
        """For a phase that trains words' embeddings on these examples; None for all others, where most rows are read,
        where weights are pulled to their start, and with several processes, who share gradients of what the model
        registers."""
        table = model.backbone.vocabulary
        if table is None or not table.weight.requires_grad or model.start or phase.anchor or machine.processes > 1:
            return None
        read = set(pc.unique(pc.list_flatten(examples.rows.table.column("tokens"))).to_pylist())
        read |= {0} if table.padding_idx is None else {0, table.padding_idx}  # 0: what short texts are filled with
        if len(read) > MOST * table.num_embeddings:
            return None
        logger.info("%s of %s word embeddings occur, and are trained", f"{len(read):,}", f"{table.num_embeddings:,}")
        return cls(table, torch.tensor(sorted(read), device=table.weight.device))

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Has the table brought up to date behind each step."""
        optimizer.register_step_post_hook(lambda *_: self.write())

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Inside, passes that train read the rows; those that do not still read the table."""
        table, whole = self.table, self.table.forward

        def forward(tokens: Tensor) -> Tensor:
            if not (table.training and torch.is_grad_enabled()):
                return whole(tokens)
            return F.embedding(self.place[tokens], self.trained, self.padding)

        replaced: Any = table  # an attribute of the instance, in front of the method of its class
        replaced.forward = forward
        try:
            yield
        finally:
            del replaced.forward

    @torch.no_grad()
    def write(self) -> None:
        """Puts the rows into the table."""
        self.table.weight.index_copy_(0, self.read, self.trained)
