"""One number that logits are divided by, so that their probabilities can be believed (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, softmax
from torch import Tensor

from mmtransfer import documents

EXAMPLES, MISTAKES = 100, 10
"""It is fitted where there are so many examples, and so many of their decisions are wrong: fewer mistakes do not tell
how sure a model may be."""
HOTTEST = 20.0
"""It lies between the inverse of this and this."""


def fitted(logits: np.ndarray, true: np.ndarray) -> float | None:
    """The temperature T with the least negative log-likelihood of `logits / T`; None where too little is known.

    `logits`: (n, outputs); `true`: class numbers (n,), or of several labels 0 and 1 (n, outputs). In 1 / T the
    likelihood is convex, so its slope has one root.
    """
    z = logits.astype(np.float64)
    of_labels = true.ndim == 2
    wrong = ((z > 0) != (true > 0)) if of_labels else z.argmax(1) != true
    if len(z) < EXAMPLES or np.count_nonzero(wrong) < MISTAKES:
        return None
    if of_labels:
        wanted = float((z * true).sum())
    else:
        z = z - z.max(1, keepdims=True)
        wanted = float(np.take_along_axis(z, true[:, None], 1).sum())

    def slope(inverse: float) -> float:
        shares = expit(z * inverse) if of_labels else softmax(z * inverse, 1)
        return float((shares * z).sum()) - wanted

    ends = 1.0 / HOTTEST, HOTTEST
    if slope(ends[0]) >= 0:
        return HOTTEST
    if slope(ends[1]) <= 0:
        return 1.0 / HOTTEST
    return float(1.0 / brentq(slope, *ends, xtol=1e-6))


def over(logits: Tensor, temperature: float) -> Tensor:
    """Logits over the temperature; of 1, which training has, themselves."""
    return logits if temperature == 1.0 else logits / temperature


def divided(layers: Sequence[tuple[Tensor, Tensor]], temperature: float) -> list[tuple[Tensor, Tensor]]:
    """Linear layers whose last gives logits over the temperature."""
    *others, (weight, bias) = layers
    return [*others, (weight / temperature, bias / temperature)]


def restored(state: Mapping[str, Any]) -> float:
    """The temperature in the state of a task; 1 of a version that had none. ValueError for what is none."""
    documents.check(state, {"temperature?": float})
    found = float(state.get("temperature", 1.0))
    if not 0 < found < float("inf"):
        raise ValueError(f"the temperature is {found}")
    return found
