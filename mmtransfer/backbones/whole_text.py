"""Any text encoder of transformers without a class in text.py, as one stage: frozen or trained as a whole."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from mmtransfer.backbones.staged import Context, State
from mmtransfer.backbones.text import TextBackbone


class WholeEncoder(nn.Module):
    """The library's model from token ids to its last hidden state."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, state: State, context: Context) -> State:
        mask = context["mask"][:, 0, 0]
        padding = self.model.config.pad_token_id
        ids = state["x"] if padding is None else state["x"].masked_fill(~mask, padding)
        types = {"token_type_ids": state["types"]} if "types" in state else {}
        return {**state, "x": self.model(input_ids=ids, attention_mask=mask.long(), **types).last_hidden_state}


class OneStage(TextBackbone):
    """An encoder of transformers that has no class here: frozen or trained as a whole."""

    library = ""
    attention = None
    targets = ()

    def __init__(self, model: Any) -> None:
        super().__init__(model, [WholeEncoder(model)])

    def is_head(self, name: str) -> bool:
        return self.own_name(name) not in self._library_names.values()


def one_stage(config: Any) -> type[Any] | None:
    """The library's class for a configuration that has no family here, if it is a text encoder; else None."""
    from transformers import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING or getattr(config, "is_encoder_decoder", False):
        return None
    mapped: Any = MODEL_MAPPING[type(config)]
    found = mapped[0] if isinstance(mapped, tuple) else mapped
    reads = "input_ids" in inspect.signature(found.forward).parameters and found.main_input_name == "input_ids"
    return found if reads and hasattr(config, "hidden_size") and hasattr(config, "vocab_size") else None
