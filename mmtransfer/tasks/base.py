"""What passes between data, inputs, targets and the engine: encoded examples, batches, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmtransfer.backbones.staged import State

Problem = Literal["classes", "labels", "values"]
"""Targets of one class each (batch,), of any number of labels (batch, labels) in 0 and 1, of real numbers."""

Reads = Literal["pooled", "frames", "tokens"]
"""What a head sees of the last stage's state: one vector an example; all positions; the first token of each word."""

Outputs = dict[str, Tensor]
"""What a head gives: `logits` (batch, outputs); or of several positions an example `logits` (batch, positions, outputs)
or `log_probs` (batch, frames, symbols), and `lengths` (batch,) of each."""


@dataclass(frozen=True)
class Encoded:
    """One example as tensors."""

    x: Tensor
    """Pixels uint8 (3, height, width), token ids (tokens,) or samples (samples,)."""
    length: int | None = None
    """Its tokens or samples; None for fixed sizes."""
    target: Tensor | None = None
    """Class number, symbol or tag numbers (labels,), 0 or 1 for every label (labels,), or a real number; None where
    unknown."""
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    """What else goes into the state: whole numbers or truths (any,), padded with zeros."""


@dataclass(frozen=True)
class Batch:
    """Encoded examples side by side."""

    state: State
    targets: Tensor | None
    """(batch,) or (batch, labels), ragged ones padded with -100; None where unknown. They stay on the host: a loss
    fetches them, and knows how many there are without waiting for a device."""
    lengths: Tensor | None = None
    """Those of the state, on the host as well, once the state is on a device."""

    def __len__(self) -> int:
        return len(self.state["x"])

    def halves(self) -> tuple[Batch, Batch]:
        """Its first examples and its last; both keep the padding of the whole."""
        middle = len(self) // 2
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, rows: slice) -> Batch:
        targets = None if self.targets is None else self.targets[rows]
        return Batch({name: value[rows] for name, value in self.state.items()}, targets)

    def pin_memory(self) -> Batch:
        """The batch where a GPU can fetch it beside other work; DataLoader calls it."""
        targets = None if self.targets is None else self.targets.pin_memory()
        return Batch({name: value.pin_memory() for name, value in self.state.items()}, targets)

    def to(self, device: torch.device) -> Batch:
        """The batch with its state on a device."""
        state = {name: value.to(device, non_blocking=True) for name, value in self.state.items()}
        return Batch(state, self.targets, self.state.get("lengths"))


def collate(examples: Sequence[Encoded]) -> Batch:
    """Stacks examples; ragged ones are padded with zeros, and their lengths go into the state."""
    state: State = {}
    if examples[0].length is None:
        state["x"] = torch.stack([example.x for example in examples])
    else:
        state["x"] = nn.utils.rnn.pad_sequence([example.x for example in examples], batch_first=True)
        state["lengths"] = torch.tensor([example.length for example in examples])
    for name in examples[0].beside:
        state[name] = nn.utils.rnn.pad_sequence([example.beside[name] for example in examples], batch_first=True)
    if examples[0].target is None:
        return Batch(state, None)
    return Batch(state, collate_targets([example.target for example in examples if example.target is not None]))


def collate_targets(targets: Sequence[Tensor]) -> Tensor:
    """Stacks targets, (batch,); those with an axis of their own are padded with -100, (batch, labels)."""
    if targets[0].dim() == 0:
        return torch.stack(list(targets))
    return nn.utils.rnn.pad_sequence(list(targets), batch_first=True, padding_value=-100)


@dataclass(frozen=True)
class Predictions:
    """What a batch of outputs says."""

    answers: list[Any]
    """For each example a label, a text, a list of labels or tags, or a number."""
    columns: dict[str, list[Any]]
    """All that is stored of them beside ids, one value an example: `logits`, scores, lengths."""


@dataclass(frozen=True)
class Word:
    """A word that was heard."""

    text: str
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    """The same."""
    score: float
    """The geometric mean of the probabilities of its symbols in the frames that say them, 0 to 1."""


@dataclass(frozen=True)
class Prediction:
    """An answer for one input."""

    id: str
    """Name or number of the input."""
    label: str
    """The class, the text that was heard, the labels with the separator between them, the tags with spaces between
    them, or the number as text."""
    score: float | None
    """Its probability, 0 to 1; of speech the mean over frames of the best symbol's, of tags the mean over words; of
    several labels that of exactly these, taken as independent; None for a number."""
    scores: Mapping[str, float]
    """Probability of every class or label; empty for all else."""
    labels: tuple[str, ...] = ()
    """The one or several labels, in order of the alphabet, or the tags in order of the words; empty for all else."""
    value: float | None = None
    """The number in the units of the data; None for all else."""
    words: tuple[Word, ...] = ()
    """Of speech when each word was said; empty for all else."""


Records = Mapping[str, list[Any]]
"""Columns over examples: id, prediction, target and loss where targets are known, and the target's own."""
