"""Text classification: token ids of the backbone's own tokenizer, pooled features, a linear head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np
import torch

from mmtransfer.backbones.staged import Backbone
from mmtransfer.config import TEXT, RunConfig
from mmtransfer.data.sources import Columns, Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Encoded
from mmtransfer.tasks.classification import Classification


class TextClassification(Classification):
    """Sentences -> one label each."""

    name = TEXT
    modality = "text"

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.tokenizer: Any = backbone.tokenizer
        positions = backbone.config.get("max_position_embeddings")
        if positions and int(config.max_length or 0) > positions:
            raise MMTransferError(
                f"{backbone.name} has positions for {positions} tokens, not {config.max_length}",
                f"--max-length {config.max_length}",
                f"give at most {positions}",
            )

    @staticmethod
    def columns(config: RunConfig) -> Columns:
        return Columns(text=config.text_column, label=config.label_column)

    def rows(self, table: Table) -> tuple[datasets.Dataset, np.ndarray]:
        texts = table.column("text")
        ids = self.tokenizer(texts, truncation=True, max_length=int(self.config.max_length or 128))["input_ids"]
        lengths = np.fromiter(map(len, ids), np.int32, len(ids))
        return table.rows.add_column("tokens", ids), lengths

    def encode(self, row: Mapping[str, Any], seed: int | None) -> Encoded:
        tokens = torch.tensor(row["tokens"], dtype=torch.int64)
        return Encoded(tokens, length=len(tokens), target=self.target(row))

    def budget(self) -> int:
        return int(self.config.micro_batch_tokens or 4096)
