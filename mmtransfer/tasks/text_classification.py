"""Text classification: token ids of the backbone's own tokenizer, pooled features, a head."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from mmtransfer.backbones import interchange
from mmtransfer.backbones.classifiers import Classifier
from mmtransfer.backbones.staged import Backbone
from mmtransfer.backbones.text import check_pooling
from mmtransfer.config import TEXT, RunConfig
from mmtransfer.data.sources import Columns, Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Encoded
from mmtransfer.tasks.classification import Classification
from mmtransfer.tasks.targets.regression import Regression

PROBLEM_TYPES: Mapping[str, str] = {
    "label": "single_label_classification",
    "labels": "multi_label_classification",
    "value": "regression",
}
"""By kind of target, what transformers calls it."""


class TextClassification(Classification):
    """Sentences, or pairs of them, -> a label, labels or a number each.

    A pair is one sequence, as the tokenizer joins two texts; too long a one loses tokens of its longer text. Where the
    backbone tells two kinds of tokens, `types` says which text a token belongs to.
    """

    name = TEXT
    modality = "text"

    def __init__(self, config: RunConfig, backbone: Backbone) -> None:
        pooling: Any = config.pooling or backbone.pooling
        check_pooling(pooling)
        super().__init__(dataclasses.replace(config, pooling=pooling), backbone)
        backbone.pooling = pooling
        self.tokenizer: Any = backbone.tokenizer
        self.typed = int(backbone.config.get("type_vocab_size") or 0) > 1
        self.paired: bool | None = None
        positions = backbone.positions
        if positions and int(config.max_length or 0) > positions:
            raise MMTransferError(
                f"{backbone.name} has positions for {positions} tokens, not {config.max_length}",
                f"--max-length {config.max_length}",
                f"give at most {positions}",
            )

    def columns(self) -> Columns:
        config = self.config
        return Columns(text=config.text_column, pair=config.pair_column, paired=self.paired, **self.answer_columns())

    def prepare(self, table: Table) -> None:
        self.paired = "pair" in table.rows.column_names
        super().prepare(table)

    def match(self, table: Table) -> Table:
        self.paired = "pair" in table.rows.column_names
        return super().match(table)

    def check(self, table: Table, split: str) -> Table:
        if ("pair" in table.rows.column_names) != self.paired:
            there, other = ("pairs", "single texts") if self.paired else ("single texts", "pairs")
            raise MMTransferError(
                f"The training data are {there}, these are {other}",
                f"{table.source} (--{split})",
                "name the columns with --text-column and --pair-column, alike in all files",
            )
        return super().check(table, split)

    def rows(self, table: Table) -> tuple[datasets.Dataset, np.ndarray]:
        if not len(table):  # the tokenizer fails on an empty list
            return table.rows, np.zeros(0, np.int32)
        paired = "pair" in table.rows.column_names  # of the table: features are made by tasks that saw no training data
        encoded = self.tokenizer(
            table.column("text"),
            table.column("pair") if paired else None,
            truncation=True,
            max_length=int(self.config.max_length or 128),
            return_token_type_ids=self.typed,
        )
        ids, rows = encoded["input_ids"], table.rows.add_column("tokens", encoded["input_ids"])
        if paired and self.typed:
            rows = rows.add_column("types", encoded["token_type_ids"])
        return rows, np.fromiter(map(len, ids), np.int32, len(ids))

    def encode(self, row: Mapping[str, Any], seed: int | None) -> Encoded:
        tokens = torch.tensor(row["tokens"], dtype=torch.int64)
        types = torch.tensor(row["types"], dtype=torch.int64) if "types" in row else None
        return Encoded(tokens, length=len(tokens), target=self.target_of(row), types=types)

    def encoding(self) -> dict[str, Any]:
        return {"max_length": int(self.config.max_length or 128), "tokenizer": fingerprint(self.tokenizer)}

    def class_names(self) -> list[str] | None:
        names = None if self.paired else self.target.names()
        return None if names is None else [worded(name) for name in names]

    def budget(self) -> int:
        return int(self.config.micro_batch_tokens or 4096)

    def export(self, folder: Path, backbone: Backbone, head: nn.Module) -> None:
        linear = (layer for layer in head.modules() if isinstance(layer, nn.Linear))
        layers: list[tuple[Tensor, Tensor]] = [(layer.weight, layer.bias) for layer in linear]
        if isinstance(self.target, Regression):  # its head learns numbers with mean 0 and deviation 1
            weight, bias = layers[-1]
            layers[-1] = (weight * self.target.sd, bias * self.target.sd + self.target.mean)
        classifier = Classifier(layers, self.target.names() or ["value"], PROBLEM_TYPES[self.target.kind])
        interchange.write(backbone, folder, classifier=classifier)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "paired": self.paired}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.paired = bool(state.get("paired"))


def fingerprint(tokenizer: Any) -> str:
    """blake2b (16 bytes, hex) of all that turns a text into numbers: vocabulary, rules, special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else tokenizer.get_vocab()
    # what the last call asked for, not what the tokenizer is
    kept = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}
    described = json.dumps([type(tokenizer).__name__, kept, str(tokenizer.special_tokens_map)], sort_keys=True)
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def worded(label: str) -> str:
    """card_arrival, card-arrival and cardArrival -> words, which they are to a tokenizer only when they are apart."""
    apart = re.sub(r"(?<=[a-zß-öø-ÿ])(?=[A-Z])", " ", re.sub(r"[\W_]+", " ", label))
    return " ".join(apart.split()) or label
