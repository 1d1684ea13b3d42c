"""Texts, pairs of texts and lists of words as token ids of the backbone's own tokenizer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmtransfer.backbones.staged import Backbone
from mmtransfer.backbones.text import check_pooling
from mmtransfer.config import RunConfig
from mmtransfer.data.columnar import Rows
from mmtransfer.data.table import Table
from mmtransfer.errors import MMTransferError
from mmtransfer.tasks.base import Encoded, Reads
from mmtransfer.tasks.inputs.base import Input, logger
from mmtransfer.tasks.readout import FIRSTS, UNREAD

ROWS = 2_000
"""Texts that are tokenized at a time: what the tokenizer tells beside their tokens has hundreds of bytes a token."""

MOST_TOKENS = 65_536
"""Of a micro-batch, however much memory there is."""


@dataclasses.dataclass
class _Unread:
    """Words of a table that the backbone does not read."""

    without: list[str] = dataclasses.field(default_factory=list)
    """Those that have no piece in its vocabulary."""
    behind: int = 0
    """How many lie behind --max-length."""

    def tell(self, source: str, longest: int) -> None:
        """Says aloud which there are."""
        if self.without:
            what = "%s: %d words have no piece in the backbone's vocabulary, and are answered without being read: %s"
            logger.warning(what, source, len(self.without), ", ".join(sorted(set(self.without))[:10]))
        if self.behind:
            what = "%s: %d words lie behind --max-length %d, and are answered without being read"
            logger.warning(what, source, self.behind, longest)


class TextInput(Input):
    """Token ids (tokens,).

    A pair is one sequence, as the tokenizer joins two texts; too long a one loses tokens of its longer text. Where the
    backbone tells two kinds of tokens, `types` says which text a token is of. Of a list of words, FIRSTS says where
    the first piece of each is; those behind --max-length, and those that the tokenizer drops, are not read.
    """

    modality = "text"
    budgeted = "micro_batch_tokens"

    def __init__(self, config: RunConfig, backbone: Backbone, reads: Reads) -> None:
        if reads == "pooled":
            pooling: Any = config.pooling or backbone.pooling
            check_pooling(pooling)
            config = dataclasses.replace(config, pooling=pooling)
            backbone.pooling = pooling
        super().__init__(config, backbone, reads)
        self.kind = "words" if reads == "tokens" else "text"
        self.tokenizer: Any = backbone.tokenizer
        self.typed = int(backbone.config.get("type_vocab_size") or 0) > 1
        self.paired: bool | None = None if self.kind == "text" else False
        positions = backbone.positions
        if positions and config.max_length > positions:
            raise MMTransferError(
                f"{backbone.name} has positions for {positions} tokens, not {config.max_length}",
                f"--max-length {config.max_length}",
                f"give at most {positions}",
            )
        if self.kind == "words" and not getattr(self.tokenizer, "is_fast", False):
            raise MMTransferError(
                f"The tokenizer of {backbone.name} does not tell which word a token is from",
                "--backbone",
                "take a backbone with a fast tokenizer (tokenizer.json)",
            )
        if self.kind == "words":
            set_apart(self.tokenizer)

    def columns(self) -> dict[str, Any]:
        config = self.config
        if self.kind == "words":
            return {"words": config.words_column}
        return {"text": config.text_column, "pair": config.pair_column, "paired": self.paired}

    def learn(self, table: Table) -> None:
        self.paired = "pair" in table.rows.column_names

    def check(self, table: Table, split: str) -> Table:
        if ("pair" in table.rows.column_names) != self.paired:
            there, other = ("pairs", "single texts") if self.paired else ("single texts", "pairs")
            raise MMTransferError(
                f"The training data are {there}, these are {other}",
                f"{table.source} (--{split})",
                "name the columns with --text-column and --pair-column, alike in all files",
            )
        return table

    def rows(self, table: Table) -> tuple[Rows, np.ndarray]:
        if not len(table):  # the tokenizer fails on an empty list
            return table.rows, np.zeros(0, np.int32)
        whole = table.rows.table
        paired = "pair" in whole.column_names  # of the table: to make features no training data are needed
        unread = _Unread()
        blocks: dict[str, list[pa.Array]] = {}
        for first in range(0, len(table), ROWS):
            for name, values in self._encoded(whole.slice(first, ROWS), paired, unread).items():
                blocks.setdefault(name, []).append(pa.array(values, pa.list_(pa.int32())))
        for name, parts in blocks.items():
            whole = whole.append_column(name, pa.chunked_array(parts))
        unread.tell(table.source, self.config.max_length)
        lengths = [part.value_lengths().to_numpy() for part in blocks["tokens"]]
        return Rows(whole), np.concatenate(lengths).astype(np.int32)

    def _encoded(self, part: pa.Table, paired: bool, unread: _Unread) -> dict[str, list[list[int]]]:
        """By name, the columns that `rows` adds to some rows of a table; `unread` counts words that are not read."""
        inputs = part.column(self.kind).to_pylist()
        encoded = self.tokenizer(
            inputs,
            part.column("pair").to_pylist() if paired else None,
            truncation=True,
            max_length=self.config.max_length,
            return_token_type_ids=self.typed,
            is_split_into_words=self.kind == "words",
        )
        columns = {"tokens": encoded["input_ids"]}
        if paired and self.typed:
            columns["types"] = encoded["token_type_ids"]
        if self.kind == "words":
            columns[FIRSTS] = self._first_pieces(inputs, encoded, unread)
        return columns

    def _first_pieces(self, inputs: list[list[str]], encoded: Any, unread: _Unread) -> list[list[int]]:
        """Of each word of each row the number of its first token, from 1; UNREAD where it has none."""
        rows, longest = [], self.config.max_length
        for number, words in enumerate(inputs):
            firsts: dict[int, int] = {}
            for place, word in enumerate(encoded.word_ids(number), 1):
                if word is not None:
                    firsts.setdefault(word, place)
            rows.append([firsts.get(word, UNREAD) for word in range(len(words))])
            whole = len(encoded["input_ids"][number]) < longest
            last = len(words) if whole else max(firsts, default=-1)
            unread.without += [repr(words[word]) for word in range(last) if word not in firsts]
            unread.behind += sum(word > last for word in range(len(words)))
        return rows

    def encode(self, row: Mapping[str, Any], seed: int | None, least: int, decoded: Tensor | None = None) -> Encoded:
        tokens = torch.tensor(row["tokens"], dtype=torch.int64)
        beside = {name: torch.tensor(row[name], dtype=torch.int64) for name in ("types", FIRSTS) if name in row}
        return Encoded(tokens, length=len(tokens), beside=beside)

    def beside(self, rows: Rows) -> Mapping[str, list[Tensor]]:
        if FIRSTS not in rows.column_names:
            return {}
        return {FIRSTS: [torch.tensor(firsts) for firsts in rows.column(FIRSTS)]}

    def encoding(self) -> dict[str, Any]:
        return {"max_length": self.config.max_length, "tokenizer": fingerprint(self.tokenizer)}

    def spelled(self, names: list[str]) -> list[str] | None:
        return None if self.paired or self.kind != "text" else [worded(name) for name in names]

    def most(self) -> int:
        return MOST_TOKENS

    def bound(self, length: int, share: float = 1.0) -> str:
        return f"--max-length {max(1, int(length * share))}"

    def state(self) -> dict[str, Any]:
        return {"paired": self.paired}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.paired = bool(state.get("paired"))


def set_apart(tokenizer: Any) -> None:
    """Makes a tokenizer of bytes read a word of a list as it reads it in a text, behind a space: without one it is the
    continuation of another word to it, and to the network."""
    from tokenizers import Tokenizer

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = rules["pre_tokenizer"] or {}
    unset = [
        step
        for step in (steps, *steps.get("pretokenizers", ()))
        if step.get("type") == "ByteLevel" and not step["add_prefix_space"]
    ]
    for step in unset:
        step["add_prefix_space"] = True
    if unset:
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(rules))
        tokenizer.add_prefix_space = tokenizer.init_kwargs["add_prefix_space"] = True  # as its files will say


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
