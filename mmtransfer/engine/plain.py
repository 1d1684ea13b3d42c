"""The model of a run as a plain module of torch: from a tensor to a tensor."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmtransfer.backbones.plain import state_of
from mmtransfer.data import given, sources
from mmtransfer.data.kinds import INPUTS
from mmtransfer.engine.model import Model
from mmtransfer.tasks.base import collate


class PlainModel(nn.Module):
    """`forward(x, lengths=None, types=None)` -> what the task's target says: logits (batch, classes), whose softmax or
    sigmoid are the scores of `Run.predict`; of tags (batch, tokens, tags), those of a word at its first token; of
    transcripts log-probabilities (batch, frames, symbols); numbers (batch, 1) in the units of the data.

    `x`: pixels 0 to 255 (batch, 3, side, side), token ids (batch, tokens) or samples (batch, samples), as `encode`
    makes them; `lengths` (batch,): of texts and recordings those without padding, all of `x` if None; `types` (batch,
    tokens): of pairs which text a token is of, 0 or 1, where the backbone tells them apart.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        model, task = self.model, self.model.task
        # pixels are normalised in place
        state = state_of(x.clone() if x.is_floating_point() else x, lengths, model.backbone.modality)
        if types is not None:
            state["types"] = types
        if task.target.reads == "tokens":  # words are told by the tokenizer, which is no part of this
            return task.target.plain(task.readout(model.head, model.backbone.run(state)))
        return task.target.plain(model(model.reach(state, 0, model.start)))

    def encode(self, inputs: Any) -> tuple[Tensor, ...]:
        """What `forward` takes for inputs as `Run.predict` takes them: `x`, of texts and recordings `lengths`, of pairs
        `types`."""
        task = self.model.task
        source, _ = given.gather(inputs, INPUTS[task.input.kind], task.columns())
        table = sources.load(source, task.input.kind, task.columns(), option="the inputs", labelled=False)
        rows, _ = task.input.rows(table)
        state = collate([task.encode(rows[number], None) for number in range(len(table))]).state
        return tuple(state[name] for name in ("x", "lengths", "types") if name in state)
